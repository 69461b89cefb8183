"""Explanations: the arithmetic behind every reason, and the story of a frame, from the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hasim.config.spec import InputError
from hasim.experiment import run as experiment
from hasim.experiment import save
from hasim.experiment.scenario import from_mapping
from hasim.reporting.explain import explain, frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run a short scenario and keep its files, without figures."""

    def run(**settings) -> Path:
        base = {
            "duration_s": 0.5,
            "metrics": ["si_sdr"],
            "scoring": {"skip_s": 0},
            "scene": {"room": {"t60_s": 0}, "head": {"kind": "free_field"}},
        }
        outcome = experiment.run(from_mapping(base | settings))
        return save.save(outcome, tmp_path_factory.mktemp("run"))

    return run


@pytest.fixture(scope="module")
def overloaded(folder) -> list[str]:
    small = {"preset": "ref-stm32u385-96", "ram_kb": 40, "nvm_kb": 100}
    skips = {"mmac_per_s": 30, "overload": "skip_frame"}
    return explain(folder(devices={"left": small, "right": skips}))


def behind(lines: list[str], beginning: str) -> list[str]:
    """What is said behind the reason that contains `beginning`."""
    (start,) = [n for n, line in enumerate(lines) if beginning in line and line[:1].isdigit()]
    end = next(n for n in range(start + 1, len(lines)) if not lines[n])
    return [line.strip() for line in lines[start + 1 : end]]


def test_short_memory_is_itemised_and_adds_up(overloaded):
    for reason, room in (("left: RAM short", "40"), ("left: NVM short", "100")):
        *items, total = behind(overloaded, reason)
        sizes = [float(line.split()[0]) for line in items]
        assert sizes == sorted(sizes, reverse=True)
        assert float(total.split()[0]) == pytest.approx(sum(sizes), abs=0.05 * len(sizes))
        assert total.endswith(f"the device has {room}")


def test_a_load_is_itemised_and_adds_up(overloaded):
    *steps, total = behind(overloaded, "left: utilisation")
    assert float(total.split()[0]) == pytest.approx(
        sum(float(s.split()[0]) for s in steps), abs=0.01
    )
    assert total.endswith("every 16 ms")
    (network,) = [step for step in steps if "mn_dnn: 492674 MAC in int8" in step]
    assert "48.8 MMAC/s" in network


def test_a_late_frame_and_a_skipped_one_have_their_stories(overloaded):
    late = behind(overloaded, "frames late")
    assert late[0] == "the first late without having lost a packet:"
    assert "the core is at frame 0" in " ".join(late)
    assert late[-2].endswith("too late")
    skipped = behind(overloaded, "frames skipped")
    assert "not computed to its end: overload is skip_frame" in skipped
    assert skipped[-1] == "heard in its place: the reference microphone as it is"


def test_the_link_is_itemised_and_late_packets_have_their_lives(folder):
    lines = explain(
        folder(
            link={"rate_kbps": 400, "loss": {"kind": "none"}},
            playout={"wait_ms": 3, "delay_ms": 20},
        )
    )
    link = behind(lines, "link needs 523 kbit/s, has 400")
    assert link[0].startswith("left sends reference every 16 ms: 4096 bits of payload, 4184 on")
    assert link[-1] == "needs 523.0 kbit/s, can carry 400.0"
    packet = " ".join(behind(lines, "right: 33 of 33 packets of 'reference' late"))
    assert "on the air +0.000 to +10.460 ms, arrives at +11.460 ms" in packet


def test_a_run_that_fits_tells_of_its_latency_and_of_lost_packets(folder):
    kept = folder(
        link={"rate_kbps": 2000, "loss": {"kind": "list", "left_to_right": [5]}},
        playout={"wait_ms": 8, "delay_ms": 13.5},
        fitting={"kind": "none"},
    )
    lines = explain(kept)
    assert lines[0] == "scenario: fits"
    told = "\n".join(lines)
    assert "right: 1 frames not heard, though everything fits; the first:" in told
    assert "frame 5 of the right ear is complete at 96.000 ms" in told
    assert "attempt 1: on the air +0.000 to +2.092 ms, lost" in told
    assert "given up when the wait ends" in told
    assert "open fitting: too long; the window alone is over 10 ms" in told
    assert frame(kept, "left", 5)[-1].endswith("before: heard")


def test_the_waits_and_steps_of_a_story_follow_one_another(folder):
    kept = folder(link={"rate_kbps": 2000, "loss": {"kind": "none"}})
    spans = [
        line.split(": ")[0].split()
        for line in frame(kept, "left", 7)
        if " to +" in line and "piece" not in line
    ]
    assert [a[2] for a in spans[:-1]] == [b[0] for b in spans[1:]]
    assert spans[0][0] == "+0.000"
    assert len(spans) >= 9


def test_what_is_no_run_and_what_is_no_frame(folder, tmp_path):
    with pytest.raises(InputError, match=r"summary\.json: not the folder of a run"):
        explain(tmp_path)
    kept = folder()
    with pytest.raises(InputError, match="no frame 99 of the left ear; 0 to 32"):
        frame(kept, "left", 99)


def test_a_latency_over_the_limit_is_itemised(folder):
    lines = explain(folder())
    assert lines[0] == "scenario: too late"
    part = behind(lines, "too late: the synthesis window alone takes 32 ms")
    assert part[0] == "32.00 ms  synthesis window"
    assert part[2].endswith("ms  in all; the limit is 30")
    assert part[3] == "a synthesis window of at most 480 samples is within the limit"


def test_a_run_that_plays_the_microphone_is_not_praised_for_its_latency(folder):
    """An 8 ms window on a processor that is not ready in time for most frames."""
    short = folder(
        front_end={"window": 256, "hop": 64, "synthesis_window": 128},
        algorithm={"masks": "oracle"},
        devices={"left": {"mmac_per_s": 20}, "right": {"mmac_per_s": 20}},
        playout={"delay_ms": 4, "wait_ms": 2},
    )
    text = "\n".join(explain(short))
    assert "closed fitting: not kept; most frames are played unprocessed" in text
    assert "acceptable" not in text
