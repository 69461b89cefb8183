"""The training loop: batches, losses, checkpoints, a log, and the weights of the best epoch.

A run is a folder: `recipe.json`, `checkpoint.pt` (everything needed to go on), `log.jsonl` (a line
per epoch) and one weights file per network. All randomness of a batch comes from (seed, epoch,
batch), so a run that was killed goes on from its last epoch to exactly the weights that it would
have had.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn

from hasim.models.weights import MaskNetwork, build, save
from hasim.training.data import Bank, load
from hasim.training.dataflows import NETWORKS, run
from hasim.training.losses import mask_loss, stft_loss, task_loss
from hasim.training.mixing import Batch, Mixer
from hasim.training.recipe import Recipe

NOMINAL_LEVEL = 1 / 192**0.5
"""Segments are brought to this level before the STFT loss, so that quiet ones count as much as loud
ones and the mean square of the target's STFT is about 1 (192 is the energy of the Hann window)."""

VALIDATION = 2**32 - 1
"""In the place of an epoch's number in the seed of the validation batches."""


class Trainer:
    """Networks, optimiser and mixtures of one recipe, and a state to go on from."""

    def __init__(self, recipe: Recipe, bank: Bank, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        torch.manual_seed(recipe.seed)
        specs = {"sn_dnn": recipe.sn_dnn, "mn_dnn": recipe.mn_dnn}
        self.networks: dict[str, MaskNetwork] = {
            name: build(specs[name]).to(device) for name in NETWORKS[recipe.algorithm]
        }
        self.parameters = [p for n in self.networks.values() for p in n.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters, recipe.learning_rate)
        self.mixers = {
            "training": Mixer(bank, recipe.mix, recipe.frames, "training", device),
            "validation": Mixer(bank, recipe.mix, recipe.frames, "validation", device),
        }
        self.epochs_done = 0
        self.best: float | None = None  # task loss on the validation set
        self.epochs_since_best = 0

    @property
    def learning_rate(self) -> float:
        """The optimiser's present one."""
        return float(self.optimiser.param_groups[0]["lr"])

    @property
    def finished(self) -> bool:
        """All epochs done, or no better for so long that the learning rate is at its end."""
        recipe = self.recipe
        return (
            self.epochs_done >= recipe.epochs or self.learning_rate < recipe.smallest_learning_rate
        )

    def epoch(self, on_batch: Callable[[int, dict[str, float]], None]) -> dict[str, Any]:
        """Train one epoch, validate, adapt the learning rate; returns the line of the log."""
        recipe, number = self.recipe, self.epochs_done
        mask_only = number < recipe.mask_only_epochs
        rate, begin = self.learning_rate, time.perf_counter()
        sums: dict[str, float] = {}
        for index in range(recipe.batches_per_epoch):
            rng = np.random.default_rng([recipe.seed, number, index])
            batch = self.mixers["training"].batch(rng, recipe.scenes_per_batch)
            losses = self.losses(batch, last_filter=not mask_only)
            loss = losses["mask" if mask_only else "task"]
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
            if not torch.isfinite(norm):
                raise FloatingPointError(
                    f"gradient of epoch {number + 1}, batch {index + 1} is not finite"
                )
            self.optimiser.step()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.item()
            on_batch(index + 1, {name: value / (index + 1) for name, value in sums.items()})
        seconds = time.perf_counter() - begin
        validation = self.validate()
        self.epochs_done += 1
        improved = self._watch(validation["task"], may_slow=not mask_only)
        frames = recipe.batches_per_epoch * recipe.scenes_per_batch * 2 * recipe.frames
        return {
            "epoch": self.epochs_done,
            "objective": "mask" if mask_only else "task",
            "learning_rate": rate,
            "training": {n: v / recipe.batches_per_epoch for n, v in sums.items()},
            "validation": validation,
            "improved": improved,
            "seconds": round(seconds, 2),
            "frames_per_s": round(frames / seconds),
        }

    def losses(self, batch: Batch, last_filter: bool = True) -> dict[str, Tensor]:
        """Mask (of several networks, the mean), STFT and task loss of a batch, equations 1 to 4."""
        recipe = self.recipe
        flow = run(
            recipe.algorithm, self.networks, batch.mics, recipe.mu, recipe.mask_power, last_filter
        )
        mask = torch.stack([mask_loss(m, batch.mask) for m in flow.masks.values()]).mean()
        if flow.output is None:
            return {"mask": mask}
        scale = (NOMINAL_LEVEL / batch.level)[:, None, None, None]
        stft = stft_loss(scale * flow.output, scale * batch.target, recipe.beta)
        return {"mask": mask, "stft": stft, "task": task_loss(mask, stft, recipe.alpha)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses on the fixed validation set."""
        recipe = self.recipe
        sums: dict[str, float] = {}
        for index in range(recipe.validation_batches):
            rng = np.random.default_rng([recipe.seed, VALIDATION, index])
            batch = self.mixers["validation"].batch(rng, recipe.scenes_per_batch)
            for name, value in self.losses(batch).items():
                sums[name] = sums.get(name, 0.0) + value.item()
        return {name: value / recipe.validation_batches for name, value in sums.items()}

    def _watch(self, loss: float, may_slow: bool) -> bool:
        if self.best is None or loss < self.best:
            self.best, self.epochs_since_best = loss, 0
            return True
        self.epochs_since_best += 1
        if may_slow and self.epochs_since_best >= self.recipe.patience:
            self.epochs_since_best = 0
            for group in self.optimiser.param_groups:
                group["lr"] /= 2
        return False

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on exactly."""
        return {
            "networks": {name: n.state_dict() for name, n in self.networks.items()},
            "optimiser": self.optimiser.state_dict(),
            "epochs_done": self.epochs_done,
            "best": self.best,
            "epochs_since_best": self.epochs_since_best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epochs_done, self.best = state["epochs_done"], state["best"]
        self.epochs_since_best = state["epochs_since_best"]


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: str | None = None,
    progress: TextIO | None = sys.stderr,
) -> None:
    """Train `recipe` on the set in the folder `data`, with results and checkpoints in `out`.

    Goes on where a run in `out` was stopped. `device` None takes CUDA where there is one.
    ValueError where `out` holds the run of another recipe.
    """
    _keep_memory()
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    trainer = Trainer(recipe, load(data), chosen)
    out.mkdir(parents=True, exist_ok=True)
    _claim(out / "recipe.json", recipe)
    checkpoint, log = out / "checkpoint.pt", out / "log.jsonl"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=chosen, weights_only=True))
    lines = log.read_text().splitlines()[: trainer.epochs_done] if log.exists() else []
    while not trainer.finished:
        entry = trainer.epoch(_Progress(trainer, progress))
        if entry["improved"]:
            card = {"recipe": recipe.model_dump(mode="json"), "data": data.name, **entry}
            for name, network in trainer.networks.items():
                save(network, out / f"{name}.safetensors", card)
        lines.append(json.dumps(entry))
        # The log first: a line without its checkpoint is cut off again when the run goes on.
        _write(log, lambda part: part.write_text("\n".join(lines) + "\n"))
        _write(checkpoint, lambda part: torch.save(trainer.state(), part))
        if progress:
            values = "  ".join(f"{n} {v:.4f}" for n, v in entry["validation"].items())
            star = " *" if entry["improved"] else ""
            print(f"\repoch {entry['epoch']:3d} validation  {values}{star}\033[K", file=progress)


class _Progress:
    """One line on the terminal, rewritten every second: epoch, losses, speed, time left."""

    def __init__(self, trainer: Trainer, stream: TextIO | None) -> None:
        self.trainer, self.stream = trainer, stream
        self.begin = self.last = time.perf_counter()

    def __call__(self, batch: int, losses: dict[str, float]) -> None:
        now = time.perf_counter()
        recipe = self.trainer.recipe
        if self.stream is None or (now - self.last < 1 and batch < recipe.batches_per_epoch):
            return
        self.last = now
        per_batch = (now - self.begin) / batch
        epochs_left = recipe.epochs - self.trainer.epochs_done
        left_s = per_batch * (epochs_left * recipe.batches_per_epoch - batch)
        values = "  ".join(f"{n} {v:.4f}" for n, v in losses.items())
        speed = recipe.scenes_per_batch * 2 * recipe.frames / per_batch
        print(
            f"\repoch {self.trainer.epochs_done + 1:3d}/{recipe.epochs} "
            f"batch {batch}/{recipe.batches_per_epoch}  {values}  {speed:.0f} frames/s  "
            f"at most {left_s / 60:.0f} min left\033[K",
            end="",
            file=self.stream,
            flush=True,
        )


def _claim(path: Path, recipe: Recipe) -> None:
    """Write the recipe, unless the folder belongs to another; only `epochs` may differ."""
    if path.exists():
        there = Recipe.model_validate_json(path.read_text())
        if there.model_copy(update={"epochs": recipe.epochs}) != recipe:
            raise ValueError(
                f"{path.parent}: holds a run of another recipe (see {path.name}); "
                f"give another folder, or the same recipe to go on"
            )
    text = recipe.model_dump_json(indent=1)
    _write(path, lambda part: part.write_text(text))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Whole or not at all, also when the process is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    write(part)
    os.replace(part, path)


def _keep_memory() -> None:
    """Let glibc keep freed memory instead of giving every large tensor back to the system.

    A step allocates some gigabytes in pieces of tens of megabytes; fetching them as fresh pages
    each time made covariances and their gradients 2.5 times slower (measured, one thread).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # not with musl
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings
