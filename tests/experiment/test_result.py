"""What is left of a run on disk and on screen: complete, repeatable, never half of it."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

from hasim.experiment.result import summary
from hasim.experiment.save import FULL_SCALE, save
from hasim.experiment.scenario import load, replace
from hasim.experiment.summary import table
from hasim.simulation.feasibility import Verdict
from tests.example_run import example_result

FILES = {
    "manifest.json",
    "summary.json",
    "scenario.yaml",
    "frames.csv",
    "steps.csv",
    "packets.csv",
    "timeline.npz",
    "noisy.wav",
    "enhanced.wav",
    "target.wav",
}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def printed(result, stages: bool = False, width: int = 100) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(table(result, stages))
    return capture.get()


def test_the_folder_holds_everything_and_the_same_bytes_each_time(tmp_path):
    first = save(example_result(40), tmp_path / "a")
    assert first == tmp_path / "a" / "example-0123456789ab"
    second = save(example_result(40), tmp_path / "b")
    assert set(tree(first)) == FILES
    assert tree(first) == tree(second)


def test_summary_holds_null_and_the_reason_where_there_is_no_number(tmp_path):
    folder = save(example_result(), tmp_path)
    kept = json.loads((folder / "summary.json").read_text())
    assert kept["scenario"] == "example"
    assert kept["numbers"]["si_sdr_improvement_db_left"] == 6.5
    assert kept["numbers"]["si_sar_noisy_db_left"] is None
    assert kept["unscored"]["si_sar_noisy_db_left"] == "no artefacts"
    assert kept["verdict"] == {"feasible": True, "reasons": []}
    assert kept["stages"]["mn_dnn"]["si_sdr_db_left"] == 2.0
    assert list(kept["numbers"]) == sorted(kept["numbers"])
    printed_object = summary(example_result(), folder)
    assert printed_object["folder"] == str(folder)
    assert printed_object["numbers"] == kept["numbers"]
    assert set(printed_object) == {
        *("scenario", "numbers", "unscored", "verdict", "fittings", "warnings", "folder"),
    }
    assert kept["fittings"] == {"open": "too long", "closed": "too long"}  # 44 ms
    assert kept["warnings"] == []


def test_nan_never_reaches_the_disk(tmp_path):
    sick = dataclasses.replace(example_result(), numbers={"latency_ms": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(sick, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_scenario_as_resolved_can_be_run_again(tmp_path):
    folder = save(example_result(), tmp_path)
    assert load(folder / "scenario.yaml") == example_result().scenario
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["scenario"] == example_result().scenario.model_dump(mode="json")
    assert (manifest["seed"], manifest["versions"]) == (3, {"hasim": "0.1.0"})


def test_where_the_devices_numbers_come_from_is_kept_with_them(tmp_path):
    example = example_result()
    left = {"preset": "ref-stm32u575-160", "ram_kb": 500}
    scenario = replace(
        example.scenario,
        {"devices.left": left, "link.preset": "ref-tdma-2m-hop", "link.loss.preset": "good"},
    )
    folder = save(dataclasses.replace(example, scenario=scenario), tmp_path)
    origins = json.loads((folder / "manifest.json").read_text())["origins"]
    assert origins["left"]["provenance"] == "measured"
    assert origins["left"]["changed"] == ["ram_kb"]
    assert "https://github.com/mlcommons/tiny_results_v1.2" in origins["left"]["source"]
    assert origins["right"]["provenance"] == "user"
    assert origins["right"]["battery"]["preset"] == "zn-312"
    assert origins["link"]["provenance"] == "standard"
    assert origins["loss"]["provenance"] == "assumption"
    warned = json.loads((folder / "summary.json").read_text())["warnings"]
    assert any(w.startswith("left: uses estimated MAC rate (fp32): 0.35") for w in warned)
    assert "left: radio power is not known and not counted" in warned
    assert not any(w.startswith("right") for w in warned)


def test_the_table_shows_devices_power_and_cell():
    example = example_result()
    left = {"preset": "ref-gap9-0v65-240", "battery": {"preset": "li-1254"}}
    scenario = replace(example.scenario, {"devices.left": left})
    power = {"power_mw_left": 2.0, "power_network_mw_left": 0.6, "power_signal_mw_left": 1.4}
    numbers = example.numbers | power | {"battery_hours_left": 110.075, "latency_p50_ms": 43.0}
    shown = printed(dataclasses.replace(example, scenario=scenario, numbers=numbers), width=150)
    assert "left ref-gap9-0v65-240 (measured); 3 warnings in summary.json" in shown
    assert "2.00 mW = network 0.60 + signal 1.40; li-1254 lasts 110.1 h" in shown
    assert "open fitting: too long, closed: too long" in shown


def test_step_table_has_every_computation(tmp_path):
    timeline = example_result(10).timeline
    kept = rows(save(example_result(10), tmp_path) / "steps.csv")
    assert len(kept) == len(timeline.steps) == 120
    first = timeline.steps[0]
    assert kept[0] == {
        "ear": "left",
        "frame": "0",
        "name": "stft",
        "start_ns": str(first["start_ns"]),
        "end_ns": str(first["end_ns"]),
    }


def test_sound_keeps_its_level_and_is_rounded_to_24_bits(tmp_path):
    result = example_result()
    folder = save(result, tmp_path)
    for name, waveform in result.audio.items():
        heard, rate_hz = soundfile.read(folder / f"{name}.wav", always_2d=True)
        assert rate_hz == 16000
        assert soundfile.info(folder / f"{name}.wav").subtype == "PCM_24"
        assert np.max(np.abs(heard.T - waveform)) <= 2.0**-23  # one step of 24 bits
    assert json.loads((folder / "manifest.json").read_text())["audio"]["scaled_by"] == 1.0


def test_sound_beyond_full_scale_is_scaled_by_one_factor_for_all(tmp_path):
    result = example_result(loud=20.0)
    folder = save(result, tmp_path)
    scale = json.loads((folder / "manifest.json").read_text())["audio"]["scaled_by"]
    peak = max(np.max(np.abs(waveform)) for waveform in result.audio.values())
    assert peak > 1
    assert scale == pytest.approx(FULL_SCALE / peak)
    for name, waveform in result.audio.items():
        heard, _ = soundfile.read(folder / f"{name}.wav", always_2d=True)
        assert np.max(np.abs(heard.T - scale * waveform)) <= 2.0**-23


def test_frame_table_has_a_row_per_ear_and_frame(tmp_path):
    folder = save(example_result(frames=80), tmp_path)
    frames = rows(folder / "frames.csv")
    assert [(row["ear"], row["frame"]) for row in (frames[0], frames[80])] == [
        ("left", "0"),
        ("right", "0"),
    ]
    assert len(frames) == 160
    late = frames[2]
    assert late["heard"] == "false"
    assert float(late["margin_ms"]) == pytest.approx(-3.8)
    assert float(late["response_ms"]) == pytest.approx(15.8)
    lost = frames[80 + 1]
    assert (lost["reference_status"], lost["reference_arrived_ns"]) == ("lost", "")
    assert frames[80 + 70]["reference_status"] == "late"


def test_skipped_frames_are_empty_in_the_frame_table(tmp_path):
    result = example_result()
    finished = result.timeline.finished_ns.copy()
    finished[1, 5] = -1
    timeline = dataclasses.replace(result.timeline, finished_ns=finished)
    folder = save(dataclasses.replace(result, timeline=timeline), tmp_path)
    row = rows(folder / "frames.csv")[105]
    assert (row["finished_ns"], row["response_ms"], row["margin_ms"]) == ("", "", "")
    assert row["heard"] == "false"


def test_packet_table_has_a_row_per_packet(tmp_path):
    result = example_result()
    packets = rows(save(result, tmp_path) / "packets.csv")
    assert len(packets) == len(result.timeline.packets) == 200
    lost = [row for row in packets if row["lost"] == "true"]
    assert len(lost) == np.sum(result.timeline.packets["lost"])
    assert all(row["arrived_ns"] == "" for row in lost)
    assert {row["sender"] for row in packets} == {"left", "right"}


def test_a_new_result_replaces_the_old_one_whole(tmp_path):
    old = save(example_result(seed=1), tmp_path)
    (old / "leftover").touch()
    new = save(example_result(seed=2), tmp_path)
    assert old == new
    assert [path.name for path in tmp_path.iterdir()] == [new.name]
    assert not (new / "leftover").exists()
    assert tree(new) == tree(save(example_result(seed=2), tmp_path / "other"))


@pytest.mark.parametrize(
    ("call", "number"), [*(("fsync", n) for n in range(9)), *(("rename", n) for n in range(3))]
)
def test_a_failure_at_any_write_leaves_the_old_result_and_nothing_else(
    tmp_path, monkeypatch, call, number
):
    """The disk is full at the n-th file, at the folder, or at any rename of the exchange."""
    folder = save(example_result(seed=1), tmp_path)
    before = tree(folder)
    owner, real = (os, os.fsync) if call == "fsync" else (Path, Path.rename)
    calls = iter(range(1000))

    def full(*arguments):
        if next(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(owner, call, full)
    with pytest.raises(OSError, match="cannot write the result: No space left") as caught:
        save(example_result(seed=2), tmp_path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(folder))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert tree(folder) == before


def test_another_run_of_the_same_scenario_may_be_saving_too(tmp_path, monkeypatch):
    """It takes the old folder aside just when this run has found that in its way."""
    folder = save(example_result(seed=1), tmp_path)
    rename = Path.rename

    def in_the_way(*arguments):
        monkeypatch.setattr(Path, "rename", rename)
        shutil.rmtree(folder)
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(Path, "rename", in_the_way)
    assert save(example_result(seed=2), tmp_path) == folder
    assert tree(folder) == tree(save(example_result(seed=2), tmp_path / "other"))


def test_a_parent_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match="cannot write the result") as caught:
        save(example_result(), tmp_path / "runs")
    assert str(tmp_path / "runs") in str(caught.value)


def test_table_says_what_counts():
    text = printed(example_result(), stages=True)
    for words in (
        "-1.0 → 5.5",
        "+9.2",
        "– → 11.0",
        "0.600 → 0.730",
        "2.0 / 1.0",
        "fits",
        "44.00 ms = 32.00 window + 12.00 playout",
        "14.00 ms compute + 1.80 waiting, margin -3.80",
        "not ready in time: left 1, right 0",
        "1 late, 9 lost",
        "5.00 % asked, 4.50 % realised",
        "needs 523 kbit/s, has 600 kbit/s",
        "49.3 MMAC/s, 30.8 of it in the network",
        "left 62 %, right 62 %",
        "RAM 118 of 512 kB",
        "T60 0.31 s",
        "– → –",
        "no pesq_enhanced_left, pesq_enhanced_right: the PESQ process died",
    ):
        assert words in text
    assert "no artefacts" not in text  # that the noisy signal has none is no news
    assert "ESTOI" not in text  # nobody asked for it


def test_table_gives_the_reasons_of_an_unhappy_verdict():
    reasons = ("RAM short by 112 kB", "utilisation 1.31")
    text = printed(dataclasses.replace(example_result(), verdict=Verdict(reasons)))
    assert "does not fit" in text
    assert all(reason in text for reason in reasons)


def test_table_does_without_any_number():
    bare = dataclasses.replace(example_result(), numbers={}, unscored={}, stages={})
    assert "fits" in printed(bare, width=40)


def test_it_shows_itself_tersely():
    result = example_result()
    assert repr(result) == (
        "<RunResult example, fits, 44.0 ms, SI-SDR +6.5 dB left, SI-SDR +9.2 dB right>"
    )
