"""The training loop: it learns, and a run that was killed goes on to exactly the same weights."""

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hasim.networks.compact_mn_dnn import CompactMnDnnSpec
from hasim.networks.training import train
from hasim.networks.training import trainer as trainer_module
from hasim.networks.training.data import TrainingSet, TrainingSetSpec
from hasim.networks.training.mixing import MixSpec
from hasim.networks.training.recipe import Recipe
from hasim.networks.weights_file import load as load_weights
from hasim.networks.weights_file import read_card

TINY = Recipe(
    mn_dnn=CompactMnDnnSpec(groups=8),
    mix=MixSpec(speech_shaped=0, babble=0),
    epochs=3,
    mask_only_epochs=1,
    batches_per_epoch=2,
    scenes_per_batch=2,
    frames=16,
    mask_only_frames=16,
    validation_batches=1,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training set in memory: tones that come and go against white noise."""
    rng = np.random.default_rng(0)
    seconds = 4
    t = np.arange(16000 * seconds) / 16000
    tone = np.sin(2 * np.pi * 700 * t) * (np.sin(2 * np.pi * 1.5 * t) > 0)
    files = np.array([[0, t.size // 2], [t.size // 2, t.size]])
    responses = np.zeros((8, 4, 2, 2, 256), np.float16)
    responses[:, 0, :, :, 20] = 1
    responses[:, 1:, 0, :, 30] = 0.5
    responses[:, 1:, 1, :, 20] = 1
    training_set = TrainingSet(
        TrainingSetSpec(scenes=8, taps=256),
        (8000 * tone).astype(np.int16),
        (3000 * rng.standard_normal(t.size)).astype(np.int16),
        files,
        files,
        (responses,),
    )
    monkeypatch.setattr(train, "load", lambda _: training_set)
    return tmp_path


def test_a_killed_run_goes_on_to_the_same_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.train(TINY, folder, folder / "whole", progress=None)

    real = train.Trainer.epoch

    def dies(self: train.Trainer, on_batch: object) -> dict[str, object]:
        if self.epochs_done == 1:
            # as kill -9 between two batches would: nothing of this epoch is kept
            self.optimiser.step()
            raise KeyboardInterrupt
        return real(self, on_batch)  # type: ignore[arg-type]

    monkeypatch.setattr(train.Trainer, "epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        train.train(TINY, folder, folder / "killed", progress=None)
    monkeypatch.setattr(train.Trainer, "epoch", real)
    train.train(TINY, folder, folder / "killed", progress=None)

    for name in ("checkpoint.pt",):
        one, two = (
            torch.load(folder / run / name, weights_only=True) for run in ("whole", "killed")
        )
        assert one["epochs_done"] == two["epochs_done"] == 3
        assert one["best"] == two["best"]
        for key, value in one["networks"]["mn_dnn"].items():
            assert torch.equal(value, two["networks"]["mn_dnn"][key])
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k not in ("seconds", "frames_per_s")}
            for line in (folder / run / "log.jsonl").read_text().splitlines()
        ]
        for run in ("whole", "killed")
    ]
    assert logs[0] == logs[1]
    assert [entry["objective"] for entry in logs[0]] == ["mask", "task", "task"]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_few_epochs_improve_the_mask(folder: Path) -> None:
    recipe = TINY.model_copy(
        update={
            "epochs": 4,
            "batches_per_epoch": 12,
            "mask_only_epochs": 4,
            "mask_only_learning_rate": 5e-3,
        }
    )
    screen = Screen()
    train.train(recipe, folder, folder / "run", progress=screen)
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["validation"]["mask"] < 0.7 * log[0]["training"]["mask"]
    assert "frames/s" in screen.getvalue()
    assert "left" in screen.getvalue()
    weights = folder / "run" / "mn_dnn.safetensors"
    assert load_weights(weights).spec == recipe.mn_dnn
    assert read_card(weights)["recipe"]["epochs"] == 4


@pytest.mark.parametrize("algorithm", ["tango", "inverted_dagger", "inverted_star"])
def test_two_stage_variants_train_both_networks(folder: Path, algorithm: str) -> None:
    recipe = TINY.model_copy(update={"algorithm": algorithm, "epochs": 2})
    trainer = train.Trainer(recipe, train.load(folder), torch.device("cpu"))
    before = {n: [p.clone() for p in net.parameters()] for n, net in trainer.networks.items()}
    trainer.epoch(lambda *_: None)
    trainer.epoch(lambda *_: None)
    assert set(before) == {"sn_dnn", "mn_dnn"}
    for name, network in trainer.networks.items():
        assert all(
            not torch.equal(p, b) for p, b in zip(network.parameters(), before[name], strict=True)
        )


def test_the_learning_rate_rises_and_falls_in_each_stage(folder: Path) -> None:
    recipe = TINY.model_copy(update={"epochs": 5, "batches_per_epoch": 100, "mask_only_epochs": 2})
    trainer = train.Trainer(recipe, train.load(folder), torch.device("cpu"))
    rates = []
    while not trainer.finished:
        rates += [trainer.learning_rate(index) for index in range(trainer.batches)]
        trainer.epochs_done += 1
    stages = (rates[:200], 2e-3), (rates[200:], 5e-4)
    for stage, largest in stages:
        assert stage[0] == pytest.approx(largest / 50, rel=1e-3)
        # of a stage of only 200 batches
        assert max(stage) == pytest.approx(largest, rel=0.15)
        assert stage[-1] == pytest.approx(0.02 * largest, rel=0.02)
        assert stage.index(max(stage)) in range(40, 60)


def test_a_run_begins_with_the_weights_of_another(folder: Path) -> None:
    train.train(TINY, folder, folder / "first", progress=None)
    for name in ("first/mask_only", "first/mn_dnn.safetensors"):
        recipe = TINY.model_copy(update={"name": "second", "start_from": {"mn_dnn": Path(name)}})
        trainer = train.Trainer(recipe, train.load(folder), torch.device("cpu"), folder)
        file = folder / name / "mn_dnn.safetensors" if name.endswith("only") else folder / name
        for key, value in load_weights(file).state_dict().items():
            assert torch.equal(value, trainer.networks["mn_dnn"].state_dict()[key])
    cards = [read_card(folder / "first" / k) for k in ("mask_only/mn_dnn.safetensors",)]
    assert cards[0]["objective"] == "mask"
    assert read_card(folder / "first" / "mn_dnn.safetensors")["objective"] == "task"


def test_features_are_standardised_before_training_or_left_as_they_are(folder: Path) -> None:
    def gains(standardise: bool) -> torch.Tensor:
        spec = TINY.mn_dnn.model_copy(update={"standardise": standardise})
        recipe = TINY.model_copy(update={"mn_dnn": spec})
        trainer = train.Trainer(recipe, train.load(folder), torch.device("cpu"))
        return trainer.networks["mn_dnn"].norm.weight

    assert (gains(standardise=False) == 1).all()
    assert gains(standardise=True).std() > 0.1


def test_weights_of_another_network_are_no_start(folder: Path) -> None:
    train.train(TINY.model_copy(update={"epochs": 1}), folder, folder / "first", progress=None)
    recipe = TINY.model_copy(
        update={"mn_dnn": CompactMnDnnSpec(groups=4), "start_from": {"mn_dnn": Path("first")}}
    )
    with pytest.raises(ValueError, match=r"start_from\.mn_dnn: .*groups=8.*groups=4"):
        train.Trainer(recipe, train.load(folder), torch.device("cpu"), folder)


def test_reduced_precision_learns_too(folder: Path) -> None:
    recipe = TINY.model_copy(update={"bfloat16": True})
    trainer = train.Trainer(recipe, train.load(folder), torch.device("cpu"))
    entries = [trainer.epoch(lambda *_: None) for _ in range(2)]
    exact = train.Trainer(TINY, train.load(folder), torch.device("cpu"))
    for entry in entries:
        other = exact.epoch(lambda *_: None)
        for name, value in other["training"].items():
            # eight bits of mantissa in products: parts in a hundred of a loss
            assert entry["training"][name] == pytest.approx(value, rel=0.03)
            assert entry["training"][name] != value


def test_the_gain_through_the_gevd_filter(folder: Path) -> None:
    recipe = TINY.model_copy(update={"frames": 100})
    trainer = train.Trainer(recipe, train.load(folder), torch.device("cpu"))
    batch = trainer.mixers["task"].batch(np.random.default_rng(0), 4)
    flow = trainer.flow(batch)
    oracle = dataclasses.replace(flow, masks={"mn_dnn": batch.mask})
    blind = dataclasses.replace(flow, masks={"mn_dnn": torch.full_like(batch.mask, 0.5)})
    # one source in three channels: with the right mask the filter finds it, with none it cannot
    assert trainer_module.gevd_gain_db(batch, oracle, 1.0, 2) > 10
    assert abs(trainer_module.gevd_gain_db(batch, blind, 1.0, 2)) < 3


def test_another_recipe_in_the_same_folder_is_refused(folder: Path) -> None:
    said = io.StringIO()
    train.train(TINY.model_copy(update={"epochs": 1}), folder, folder / "run", progress=said)
    # no screen
    assert re.fullmatch(r"epoch   1 validation  mask [\d.]+ .* \*\n", said.getvalue())
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        train.train(TINY.model_copy(update={"seed": 1}), folder, folder / "run", progress=None)
    log = (folder / "run" / "log.jsonl").read_text()
    train.train(TINY.model_copy(update={"epochs": 1}), folder, folder / "run", progress=None)
    # done, nothing to do
    assert (folder / "run" / "log.jsonl").read_text() == log


def test_a_bank_is_loaded_from_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a training set"):
        train.train(TINY, tmp_path, tmp_path / "run", progress=None)
