"""Networks that learn to round: from float weights, with a warm-up, beside or taught by a teacher.

The training set and the networks are tiny; the machinery is checked, not the quality of masks.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hasim.networks import mask_estimator
from hasim.networks.compact_mn_dnn import CompactMnDnn, CompactMnDnnSpec
from hasim.networks.mn_dnn import MnDnn, MnDnnSpec
from hasim.networks.precision import PrecisionSpec, QuantisationSpec
from hasim.networks.quantization.network import QuantisedNetwork
from hasim.networks.sn_dnn import SnDnn, SnDnnSpec
from hasim.networks.training import train
from hasim.networks.training.dataflows import features, other_ear
from hasim.networks.training.losses import mask_loss, stft_loss
from hasim.networks.training.mixing import MixSpec
from hasim.networks.training.recipe import DistillationSpec, Recipe
from hasim.networks.training.trainer import Trainer
from hasim.networks.weights_file import load as load_weights
from hasim.networks.weights_file import save
from tests.networks.training.test_training_train import folder  # noqa: F401  a training set in memory

CPU = torch.device("cpu")
W8A8 = QuantisationSpec(warm_up_steps=3)
TINY = Recipe(
    mn_dnn=MnDnnSpec(hidden=8, layers=1),
    sn_dnn=SnDnnSpec(hidden=8, layers=1, head=8),
    start_from={"mn_dnn": Path("float")},
    mix=MixSpec(speech_shaped=0, babble=0),
    quantisation=W8A8,
    epochs=3,
    mask_only_epochs=0,
    batches_per_epoch=2,
    scenes_per_batch=2,
    frames=16,
    mask_only_frames=16,
    validation_batches=1,
    learning_rate=1e-3,
)


@pytest.fixture
def runs(folder: Path) -> Path:  # noqa: F811
    """A folder of runs, with float weights of both networks in `float`."""
    torch.manual_seed(1)
    save(MnDnn(TINY.mn_dnn), folder / "float" / "mn_dnn.safetensors")  # type: ignore[arg-type]
    save(SnDnn(TINY.sn_dnn), folder / "float" / "sn_dnn.safetensors")
    return folder


def trainer_of(runs: Path, **changes: Any) -> Trainer:
    return Trainer(TINY.model_copy(update=changes), train.load(runs), CPU, runs)


def small(trainer: Trainer, name: str = "mn_dnn") -> QuantisedNetwork:
    network = trainer.networks[name]
    assert isinstance(network, QuantisedNetwork)
    return network


def run(runs: Path, out: str, recipe: Recipe = TINY) -> list[dict[str, Any]]:
    train.train(recipe, runs, runs / out, progress=None)
    return [json.loads(line) for line in (runs / out / "log.jsonl").read_text().splitlines()]


def test_it_starts_from_the_float_weights_and_keeps_them_beside(runs: Path) -> None:
    trainer = trainer_of(runs)
    stored = load_weights(runs / "float" / "mn_dnn.safetensors").state_dict()
    trainer.train_batch(0)
    for name, value in stored.items():
        # does not learn
        assert torch.equal(trainer.teacher["mn_dnn"].state_dict()[name], value)
    batch = trainer.mixers["task"].batch(np.random.default_rng(0), 2)
    fresh = trainer_of(runs)
    (mask,), (float_mask,) = (
        f.masks.values() for f in (fresh.flow(batch), fresh._flow(fresh.teacher, batch))
    )
    # weights round from the first batch on
    assert 0 < (mask - float_mask).abs().max() < 0.02


@pytest.mark.parametrize("quantisation", [W8A8, QuantisationSpec(activations=32)], ids=str)
def test_gradients_reach_weights_and_ranges(runs: Path, quantisation: QuantisationSpec) -> None:
    trainer = trainer_of(runs, quantisation=quantisation)
    before = {n: p.detach().clone() for n, p in small(trainer).named_parameters()}
    ranges = [n for n in before if n.endswith((".low", ".high"))]
    for index in range(3):
        trainer.train_batch(index)
    observed = {n: small(trainer).get_parameter(n).detach().clone() for n in ranges}
    assert small(trainer).ready
    for index in range(3):
        trainer.train_batch(index)
    after = dict(small(trainer).named_parameters())
    assert all(not torch.equal(after[n], before[n]) for n in before if n not in ranges)
    learnt = [n for n in ranges if not torch.equal(after[n], observed[n])]
    # Bounds beyond zero, such as the lower one of a sigmoid, are not used and do not move.
    assert set(ranges) - set(learnt) <= {n for n in ranges if n.endswith(".low")}
    assert bool(ranges) == (quantisation.activations == 8)


def test_a_killed_run_goes_on_to_the_same_weights_and_ranges(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(runs, "whole")
    real = Trainer.epoch

    def dies(self: Trainer, on_batch: object) -> dict[str, object]:
        # two of three batches of the warm-up are over
        if self.epochs_done == 1:
            self.train_batch(0)
            raise KeyboardInterrupt
        return real(self, on_batch)  # type: ignore[arg-type]

    monkeypatch.setattr(train.Trainer, "epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        run(runs, "killed")
    monkeypatch.setattr(train.Trainer, "epoch", real)
    kept = torch.load(runs / "killed" / "checkpoint.pt", weights_only=True)["networks"]["mn_dnn"]
    assert {int(v) for n, v in kept.items() if n.endswith("passes")} == {2}
    run(runs, "killed")
    one, two = (
        torch.load(runs / out / "checkpoint.pt", weights_only=True)["networks"]["mn_dnn"]
        for out in ("whole", "killed")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_only_networks_that_round_are_kept_and_nodes_use_them(runs: Path) -> None:
    log = run(runs, "run")
    # still observing after its two batches
    assert not log[0]["improved"]
    assert log[1]["improved"]
    assert log[0]["teacher"] == log[2]["teacher"]
    assert log[0]["teacher"].keys() == {"mask", "stft", "task", "gevd_gain_db"}
    assert mask_estimator.stored_precision(runs / "run") == PrecisionSpec(scheme="static")
    stored = load_weights(runs / "run" / "mn_dnn.safetensors")
    assert isinstance(stored, QuantisedNetwork)
    assert stored.ready
    assert stored.quantisation == W8A8
    used = mask_estimator.networks(
        runs / "run", groups=0, bins=257, precision=PrecisionSpec(scheme="static")
    )
    spectra = np.random.default_rng(0).standard_normal((2, 2, 257, 5))
    masks = mask_estimator.estimator(used)("mn_dnn", *spectra)
    levels = masks * (2**16 - 1)
    # float32 holds 24 bits of a mask of 16
    np.testing.assert_allclose(levels, np.rint(levels), rtol=0, atol=0.01)


def test_a_teacher_that_is_the_student_has_nothing_to_teach(runs: Path) -> None:
    taught = DistillationSpec(teacher={"mn_dnn": Path("float")})
    trainer = trainer_of(runs, quantisation=None, distillation=taught)
    batch = trainer.mixers["task"].batch(np.random.default_rng(0), 2)
    losses = trainer.losses(batch, trainer.flow(batch))
    assert losses["distillation"].item() == 0
    assert losses["total"].item() == pytest.approx(0.7 * losses["task"].item())
    assert trainer.objective == "total"


@pytest.mark.parametrize("algorithm", ["mn_tango", "tango"])
def test_distillation_written_out(runs: Path, algorithm: str) -> None:
    names = ("mn_dnn",) if algorithm == "mn_tango" else ("sn_dnn", "mn_dnn")
    trainer = trainer_of(
        runs,
        algorithm=algorithm,
        start_from={name: Path("float") for name in names},
        quantisation=QuantisationSpec(weights=4, activations=32),
        distillation=DistillationSpec(
            teacher={name: Path("float") for name in names}, weight_kd=0.2, weight_task=0.6
        ),
    )
    batch = trainer.mixers["task"].batch(np.random.default_rng(0), 2)
    student, teacher = trainer.flow(batch), trainer._flow(trainer.teacher, batch)
    losses = {name: value.detach() for name, value in trainer.losses(batch, student).items()}
    assert tuple(student.masks) == names
    # Equations 5 and 6, and 1 to 3, from the masks and sounds that both made of the batch.
    mask = sum(mask_loss(student.masks[n], teacher.masks[n]) for n in names) / len(names)
    level = (192**-0.5 / batch.level)[:, None, None, None]
    assert student.output is not None
    assert teacher.output is not None
    stft = stft_loss(level * student.output, level * teacher.output, 0.3)
    truth = sum(mask_loss(student.masks[n], batch.mask) for n in names) / len(names)
    task = 0.3 * truth + 0.7 * stft_loss(level * student.output, level * batch.target, 0.3)
    distillation = 0.2 * mask + 0.8 * stft
    assert losses["distillation"].item() == pytest.approx(distillation.item(), rel=1e-5)
    assert losses["distillation"].item() > 0
    total = 0.6 * task + 0.4 * distillation
    assert losses["total"].item() == pytest.approx(total.item(), rel=1e-5)
    trainer.train_batch(0)
    assert all(p.grad is None for n in trainer.teacher.values() for p in n.parameters())


def test_learning_mends_a_network_in_two_bits(runs: Path) -> None:
    floating = TINY.model_copy(
        update={
            "start_from": {},
            "quantisation": None,
            "epochs": 1,
            "mask_only_epochs": 1,
            "batches_per_epoch": 150,
            "mask_only_learning_rate": 1e-2,
        }
    )
    run(runs, "learnt", floating)
    few = QuantisationSpec(weights=2, ranges="tensor")
    trainer = trainer_of(
        runs,
        start_from={"mn_dnn": Path("learnt")},
        quantisation=few,
        epochs=1,
        mask_only_epochs=1,
        batches_per_epoch=60,
        mask_only_learning_rate=3e-3,
        validation_frames=64,
    )
    batch = trainer.mixers["mask"].batch(np.random.default_rng(5), 8)
    own = batch.mics[:, :, 0]
    # post-training, calibrated on a batch
    small(trainer).observe(features(own, other_ear(own)))
    start = trainer.validate()["mask"]
    trainer.epoch(lambda *_: None)
    end, floor = trainer.validate()["mask"], trainer.teacher_validation["mask"]
    assert floor < start
    # at least half of what rounding cost comes back
    assert end < start - 0.5 * (start - floor)


def test_a_teacher_may_be_of_another_kind_but_not_rounded(runs: Path) -> None:
    student = CompactMnDnnSpec(groups=8)
    save(CompactMnDnn(student), runs / "g8" / "mn_dnn.safetensors")
    taught = DistillationSpec(teacher={"mn_dnn": Path("float")})
    start = {"mn_dnn": Path("g8")}
    trainer = trainer_of(runs, mn_dnn=student, start_from=start, distillation=taught)
    assert trainer.train_batch(0)["distillation"] > 0
    save(small(trainer_of(runs)), runs / "rounded" / "mn_dnn.safetensors")
    rounded = DistillationSpec(teacher={"mn_dnn": Path("rounded")})
    with pytest.raises(ValueError, match=r"distillation\.teacher\.mn_dnn: .* a quantised network"):
        trainer_of(runs, distillation=rounded)
    with pytest.raises(ValueError, match=r"start_from\.mn_dnn: .* holds a sn_dnn, not a mn_dnn"):
        trainer_of(runs, start_from={"mn_dnn": Path("float/sn_dnn.safetensors")})
