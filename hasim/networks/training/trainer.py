"""A training run in memory: networks, optimiser, mixtures; epochs, and a state to go on from.

All randomness of a batch comes from (seed, epoch, batch), so epochs after a `restore` are exactly
those that would have come without it. Networks that learn to round are the same ones with grids
put in after their floating-point weights have been loaded; a teacher stays as it is.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hasim.dsp import wiener_filters
from hasim.networks.front_end import NOISE_MAGNITUDE
from hasim.networks.quantization.network import QuantisedNetwork, quantised
from hasim.networks.training.data import TrainingSet
from hasim.networks.training.dataflows import NETWORKS, Flow, features, other_ear, run
from hasim.networks.training.filters import apply, covariances
from hasim.networks.training.losses import (
    distillation_loss,
    mask_loss,
    stft_loss,
    task_loss,
    total_loss,
)
from hasim.networks.training.mixing import Batch, Mixer
from hasim.networks.training.recipe import Recipe
from hasim.networks.weights_file import FloatNetwork, StoredNetwork, build, load, role

NOMINAL_LEVEL = 1 / NOISE_MAGNITUDE
"""Level of all segments in the STFT loss, so that quiet ones count as much as loud ones. The mean
square of the target's STFT is then about 1."""

WARM_UP_BATCHES = 50
# Rate at the end of a stage, relative to the largest one.
SMALLEST_RATE = 0.02

VALIDATION = 2**32 - 1
CALIBRATION = 2**32 - 2
"""In place of the epoch's number in the seeds of validation and calibration batches."""


class Trainer:
    """Networks, optimiser and mixtures of one recipe, with a state to continue from.

    Relative paths to other weights start at `start_from`. `teacher` are the networks of a
    distillation. Without one, in quantisation-aware training, they are the floating-point networks
    that training started from, and only appear in the log.
    """

    def __init__(
        self,
        recipe: Recipe,
        training_set: TrainingSet,
        device: torch.device,
        start_from: Path = Path(),
    ) -> None:
        self.recipe, self.device = recipe, device
        torch.manual_seed(recipe.seed)
        specs = {"sn_dnn": recipe.sn_dnn, "mn_dnn": recipe.mn_dnn}
        floating = {name: build(specs[name]).to(device) for name in NETWORKS[recipe.algorithm]}
        validation_frames = recipe.validation_frames or recipe.frames
        self.mixers = {
            "mask": Mixer(
                training_set, recipe.mix, recipe.mask_only_frames, "training", device, mics=1
            ),
            "task": Mixer(training_set, recipe.mix, recipe.frames, "training", device),
            "validation": Mixer(training_set, recipe.mix, validation_frames, "validation", device),
        }
        self._calibrate(floating)
        for start, path in recipe.start_from.items():
            _start(floating[start], start, start_from / path)
        self.teacher = self._teacher(floating, start_from)
        self.networks: dict[str, StoredNetwork] = {**floating}
        if recipe.quantisation is not None:
            for name, network in floating.items():
                self.networks[name] = quantised(network, recipe.quantisation).to(device)
        self.parameters = [p for n in self.networks.values() for p in n.parameters()]
        self.optimiser = torch.optim.Adam(self.parameters)
        self.epochs_done = 0
        # Best validation loss of the stage.
        self.best: float | None = None

    @property
    def mask_only(self) -> bool:
        """The next epoch trains with the mask loss alone."""
        return self.epochs_done < self.recipe.mask_only_epochs

    @property
    def batches(self) -> int:
        """Batches of the next epoch."""
        return self.recipe.batches(self.mask_only)

    @property
    def objective(self) -> Literal["mask", "task", "total"]:
        """Loss that the next epoch minimises; total: task and distillation."""
        if self.mask_only:
            return "mask"
        return "task" if self.recipe.distillation is None else "total"

    @property
    def finished(self) -> bool:
        """All epochs done."""
        return self.epochs_done >= self.recipe.epochs

    def epoch(self, on_batch: Callable[[int, dict[str, float]], None]) -> dict[str, Any]:
        """Train one epoch and validate; returns the line of the log."""
        recipe, objective, batches = self.recipe, self.objective, self.batches
        begin, sums = time.perf_counter(), dict[str, float]()
        for index in range(batches):
            for name, value in self.train_batch(index).items():
                sums[name] = sums.get(name, 0.0) + value
            on_batch(index + 1, {name: value / (index + 1) for name, value in sums.items()})
        seconds = time.perf_counter() - begin
        rate = self.learning_rate(batches - 1)
        validation = self.validate()
        if self.epochs_done == recipe.mask_only_epochs:
            # The best of the first stage does not count in the second.
            self.best = None
        ready = all(n.ready for n in self.networks.values() if isinstance(n, QuantisedNetwork))
        # A network that does not round yet is no result.
        improved = ready and (self.best is None or validation[objective] < self.best)
        if improved:
            self.best = validation[objective]
        self.epochs_done += 1
        frames = recipe.batches_per_epoch * recipe.scenes_per_batch * 2 * recipe.frames
        return {
            "epoch": self.epochs_done,
            "objective": objective,
            "learning_rate": rate,
            "training": {n: v / batches for n, v in sums.items()},
            "validation": validation,
            **({"teacher": self.teacher_validation} if self.teacher else {}),
            "improved": improved,
            "seconds": round(seconds, 2),
            "frames_per_s": round(frames / seconds),
        }

    def train_batch(self, index: int) -> dict[str, float]:
        """One step of the current epoch; returns the losses before it."""
        recipe, objective = self.recipe, self.objective
        rng = np.random.default_rng([recipe.seed, self.epochs_done, index])
        mixer = self.mixers["mask" if self.mask_only else "task"]
        batch = mixer.batch(rng, recipe.scenes_per_batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            losses = self.losses(batch, self.flow(batch, last_filter=not self.mask_only))
        self.optimiser.zero_grad(set_to_none=True)
        losses[objective].backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, recipe.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"gradient of epoch {self.epochs_done + 1}, batch {index + 1} is not finite"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(index)
        self.optimiser.step()
        return {name: value.item() for name, value in losses.items()}

    def learning_rate(self, index: int) -> float:
        """Rate of a batch of the current epoch: up over 50 batches, down along a cosine."""
        recipe = self.recipe
        first, last = 0, recipe.mask_only_epochs
        largest = recipe.mask_only_learning_rate
        if not self.mask_only:
            first, last, largest = last, recipe.epochs, recipe.learning_rate
        done = (self.epochs_done - first) * self.batches + index
        falling = 0.5 + 0.5 * math.cos(math.pi * done / ((last - first) * self.batches))
        rising = min(1.0, (done + 1) / WARM_UP_BATCHES)
        return largest * rising * (SMALLEST_RATE + (1 - SMALLEST_RATE) * falling)

    def flow(self, batch: Batch, last_filter: bool = True) -> Flow:
        """The dataflow of the recipe on a batch."""
        return self._flow(self.networks, batch, last_filter)

    def losses(self, batch: Batch, flow: Flow) -> dict[str, Tensor]:
        """Mask (of several networks, the mean), STFT and task loss of a batch (equations 1 to 4).

        With the last filter and a distillation, also distillation and total loss (equations 5 to
        8).
        """
        losses, spec = self._task_losses(batch, flow), self.recipe.distillation
        if flow.output is None or spec is None:
            return losses
        with torch.no_grad():
            teacher = self._flow(self.teacher, batch)
        errors = self._errors(flow, teacher.masks, teacher.output, batch.level)
        distillation = distillation_loss(errors["mask"], errors["stft"], spec.weight_kd)
        total = total_loss(losses["task"], distillation, spec.weight_task)
        return losses | {"distillation": distillation, "total": total}

    def validate(self) -> dict[str, float]:
        """Losses on the fixed validation set, and the SI-SDR gain of GEVD filters in dB."""
        return self._validate(self.networks, self.losses)

    @cached_property
    def teacher_validation(self) -> dict[str, float]:
        """Losses of the teacher on the same set, against the truth."""
        return self._validate(self.teacher, self._task_losses)

    def _flow(
        self, networks: Mapping[str, nn.Module], batch: Batch, last_filter: bool = True
    ) -> Flow:
        recipe = self.recipe
        return run(
            recipe.algorithm,
            networks,
            batch.mics,
            recipe.mu,
            recipe.mask_power,
            recipe.filter,
            last_filter,
        )

    def _task_losses(self, batch: Batch, flow: Flow) -> dict[str, Tensor]:
        masks = dict.fromkeys(flow.masks, batch.mask)
        losses = self._errors(flow, masks, batch.target, batch.level)
        if flow.output is not None:
            losses["task"] = task_loss(losses["mask"], losses["stft"], self.recipe.alpha)
        return losses

    def _errors(
        self, flow: Flow, masks: Mapping[str, Tensor], enhanced: Tensor | None, level: Tensor
    ) -> dict[str, Tensor]:
        """Mask and STFT loss against the truth, or against the teacher's result."""
        mask = torch.stack([mask_loss(m, masks[name]) for name, m in flow.masks.items()]).mean()
        if flow.output is None or enhanced is None:
            return {"mask": mask}
        scale = (NOMINAL_LEVEL / level)[:, None, None, None]
        return {
            "mask": mask,
            "stft": stft_loss(scale * flow.output, scale * enhanced, self.recipe.beta),
        }

    @torch.no_grad()
    def _validate(
        self,
        networks: Mapping[str, nn.Module],
        losses: Callable[[Batch, Flow], dict[str, Tensor]],
    ) -> dict[str, float]:
        recipe = self.recipe
        for network in networks.values():
            network.eval()
        sums: dict[str, float] = {}
        for index in range(recipe.validation_batches):
            rng = np.random.default_rng([recipe.seed, VALIDATION, index])
            batch = self.mixers["validation"].batch(rng, recipe.scenes_per_batch)
            flow = self._flow(networks, batch)
            numbers = {name: value.item() for name, value in losses(batch, flow).items()}
            numbers["gevd_gain_db"] = gevd_gain_db(batch, flow, recipe.mu, recipe.mask_power)
            for name, number in numbers.items():
                sums[name] = sums.get(name, 0.0) + number
        for network in networks.values():
            network.train()
        return {name: value / recipe.validation_batches for name, value in sums.items()}

    def _teacher(
        self, started: Mapping[str, FloatNetwork], start_from: Path
    ) -> dict[str, FloatNetwork]:
        """Teachers of the distillation, or copies of trained networks that start to be quantised;
        none where nothing has been trained yet."""
        recipe, teacher = self.recipe, dict[str, FloatNetwork]()
        if recipe.distillation is not None:
            for name, path in recipe.distillation.teacher.items():
                key = f"distillation.teacher.{name}"
                network = _floating(key, name, start_from / path)
                bins = started[name].spec.bins
                if network.spec.bins != bins:
                    raise ValueError(
                        f"{key}: has {network.spec.bins} bins, but the recipe's network has {bins}"
                    )
                teacher[name] = network.to(self.device)
        elif recipe.quantisation is not None and recipe.start_from.keys() == started.keys():
            teacher = copy.deepcopy(dict(started))
        for network in teacher.values():
            network.requires_grad_(False)
        return teacher

    def _calibrate(self, networks: Mapping[str, FloatNetwork]) -> None:
        """Standardise the features of untrained networks on one batch."""
        rng = np.random.default_rng([self.recipe.seed, CALIBRATION])
        batch = self.mixers["mask"].batch(rng, 2 * self.recipe.scenes_per_batch)
        own = batch.mics[:, :, 0]
        for name, network in networks.items():
            spectra = (own,) if name == "sn_dnn" else (own, other_ear(own))
            if network.spec.standardise:
                network.calibrate(features(*spectra))

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to continue exactly."""
        return {
            "networks": {name: n.state_dict() for name, n in self.networks.items()},
            "optimiser": self.optimiser.state_dict(),
            "epochs_done": self.epochs_done,
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epochs_done, self.best = state["epochs_done"], state["best"]


def _start(network: FloatNetwork, name: str, path: Path) -> None:
    """Load the weights of a file or folder into the network."""
    found = _floating(f"start_from.{name}", name, path)
    if found.spec != network.spec:
        raise ValueError(
            f"start_from.{name}: {path} holds {found.spec!r}, but the recipe's network is "
            f"{network.spec!r}"
        )
    network.load_state_dict(found.state_dict())


def _floating(key: str, name: str, path: Path) -> FloatNetwork:
    """The floating-point network of role `name` in a file or folder."""
    file = path / f"{name}.safetensors" if path.is_dir() else path
    network = load(file)
    if isinstance(network, QuantisedNetwork):
        raise ValueError(f"{key}: {file} holds a quantised network; give one in floating point")
    if role(network) != name:
        raise ValueError(f"{key}: {file} holds a {network.spec.kind}, not a {name}")
    return network


def gevd_gain_db(batch: Batch, flow: Flow, mu: float, mask_power: int) -> float:
    """SI-SDR improvement over the reference microphone in dB, with the filter that nodes use.

    The last filter is the rank-1 GEVD filter of `dsp.wiener_filters` instead of the one trained
    through; SI-SDR is that of the STFTs, averaged over ears and scenes.
    """
    last_mask = list(flow.masks.values())[-1]
    speech, noise = (r.cpu().numpy() for r in covariances(flow.channels, last_mask, mask_power))
    weights = torch.from_numpy(wiener_filters.weights("gevd", speech, noise, mu=mu))
    enhanced = apply(weights.to(flow.channels), flow.channels)
    gain = _si_sdr_db(enhanced, batch.target) - _si_sdr_db(batch.mics[:, :, 0], batch.target)
    return float(gain.mean())


def _si_sdr_db(estimate: Tensor, target: Tensor) -> Tensor:
    """(scene, ear) from (scene, ear, bin, frame); the scale is real, as for waveforms."""
    target, estimate = target.flatten(-2), estimate.flatten(-2)
    scale = (target.conj() * estimate).real.sum(-1) / target.abs().square().sum(-1)
    wanted = scale[..., None] * target
    error = (estimate - wanted).abs().square().sum(-1)
    return 10 * torch.log10(wanted.abs().square().sum(-1) / error)
