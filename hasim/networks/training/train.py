"""Train a recipe in a folder: checkpoints, a log, the weights of the best epoch, progress.

The folder holds `recipe.json`, `checkpoint.pt` (the state to continue from), `log.jsonl` (one line
per epoch) and one weights file per network. A run that was killed continues from its last epoch and
ends with the same weights.
"""

from __future__ import annotations

import ctypes
import datetime
import io
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import torch

from hasim.config.files import write_whole
from hasim.networks.training.data import load
from hasim.networks.training.recipe import Recipe
from hasim.networks.training.trainer import Trainer
from hasim.networks.weights_file import save


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: str | None = None,
    progress: TextIO | None = sys.stderr,
) -> None:
    """Train `recipe` on the set in the folder `data`, with results and checkpoints in `out`.

    Continues a run that was stopped. The best weights of the epochs with the mask loss alone stay
    in the folder `mask_only`. `device` None: CUDA where available.

    ValueError where `out` holds the run of another recipe, or CUDA is asked for and not available.
    """
    _keep_memory()
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda is not available here; leave it out or give cpu")
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trainer = Trainer(recipe, load(data), chosen, out.parent)
    out.mkdir(parents=True, exist_ok=True)
    _claim(out / "recipe.json", recipe)
    checkpoint, log = out / "checkpoint.pt", out / "log.jsonl"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=chosen, weights_only=True))
    if progress and trainer.teacher and not trainer.finished:
        print(f"teacher   validation  {_as_text(trainer.teacher_validation)}", file=progress)
    lines = log.read_text().splitlines()[: trainer.epochs_done] if log.exists() else []
    while not trainer.finished:
        first_stage = trainer.mask_only and recipe.mask_only_epochs < recipe.epochs
        entry = trainer.epoch(_Progress(trainer, progress))
        if entry["improved"]:
            card = {
                "recipe": recipe.model_dump(mode="json"),
                "data": data.name,
                "date": datetime.date.today().isoformat(),
                **entry,
            }
            for name, network in trainer.networks.items():
                save(network, out / f"{name}.safetensors", card)
                if first_stage:
                    save(network, out / "mask_only" / f"{name}.safetensors", card)
        lines.append(json.dumps(entry))
        # The log first: a line without its checkpoint is cut off again when the run goes on.
        write_whole(log, ("\n".join(lines) + "\n").encode())
        state = io.BytesIO()
        torch.save(trainer.state(), state)
        write_whole(checkpoint, state.getvalue())
        if progress:
            values, star = _as_text(entry["validation"]), " *" if entry["improved"] else ""
            # On a terminal, over the progress line of the epoch.
            begin, end = ("\r", "\033[K") if progress.isatty() else ("", "")
            epoch = f"epoch {entry['epoch']:3d} validation"
            print(f"{begin}{epoch}  {values}{star}{end}", file=progress)


class _Progress:
    """One line on a terminal, rewritten every second: epoch, losses, speed, time left."""

    def __init__(self, trainer: Trainer, stream: TextIO | None) -> None:
        self.trainer = trainer
        self.stream = stream if stream and stream.isatty() else None
        self.begin = self.last = time.perf_counter()

    def __call__(self, batch: int, losses: dict[str, float]) -> None:
        now = time.perf_counter()
        trainer, recipe = self.trainer, self.trainer.recipe
        if self.stream is None or (now - self.last < 1 and batch < trainer.batches):
            return
        self.last = now
        # Share of the epoch done; epochs have equally many frames.
        share = batch / trainer.batches
        epoch_s = (now - self.begin) / share
        left_s = epoch_s * (recipe.epochs - trainer.epochs_done - share)
        frames = recipe.batches_per_epoch * recipe.scenes_per_batch * 2 * recipe.frames
        print(
            f"\repoch {trainer.epochs_done + 1:3d}/{recipe.epochs} "
            f"batch {batch}/{trainer.batches}  {_as_text(losses)}  "
            f"{frames / epoch_s:.0f} frames/s  {left_s / 60:.0f} min left\033[K",
            end="",
            file=self.stream,
            flush=True,
        )


def _as_text(numbers: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())


def _claim(path: Path, recipe: Recipe) -> None:
    """Write the recipe, unless the folder belongs to another."""
    if path.exists() and Recipe.model_validate_json(path.read_text()) != recipe:
        raise ValueError(
            f"{path.parent}: holds a run of another recipe (see {path.name}); "
            f"give another folder, or the same recipe to go on"
        )
    write_whole(path, recipe.model_dump_json(indent=1).encode())


def _keep_memory() -> None:
    """Let glibc keep freed memory instead of returning every large tensor to the system.

    A step allocates some gigabytes in pieces of tens of megabytes; fresh pages each time made
    covariances and their gradients 2.5 times slower (measured, one thread).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # musl has no mallopt.
    if mallopt is not None:
        # M_TRIM_THRESHOLD
        mallopt(-1, 2**31 - 1)
        # M_MMAP_MAX: no separate mappings
        mallopt(-4, 0)
