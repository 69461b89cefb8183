"""Figures: the same bytes each time, axes with units, and the right things in the right places."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hasim.reporting import run_figures, timeline_figures
from hasim.reporting.figure import COLUMNS, png_bytes
from hasim.reporting.run_figures import figures
from tests.example_run import HOP_NS, example_result, example_timeline


def labels(figure) -> set[str]:
    axes = [a for a in figure.axes if a.get_images() or a.lines or a.collections or a.patches]
    return {text for a in axes for text in (a.get_xlabel(), a.get_ylabel()) if text}


def test_every_figure_is_a_png_of_the_same_bytes_each_time():
    first = {name: png_bytes(f) for name, f in figures(example_result(40)).items()}
    again = {name: png_bytes(f) for name, f in figures(example_result(40)).items()}
    assert first == again
    names = {"scene", "spectrograms", "first_frames", "load", "masks", "comb", "link_loss"}
    assert set(first) == names
    for picture in first.values():
        assert picture.startswith(b"\x89PNG")
        assert b"Software" not in picture


def test_axes_carry_units():
    drawn = figures(example_result(40))
    assert labels(drawn["scene"]) == {"x (m)", "y (m)"}
    assert labels(drawn["spectrograms"]) >= {"time (s)", "frequency (kHz)", "level (dB)"}
    assert labels(drawn["masks"]) >= {"time (s)", "frequency (kHz)", "mask"}
    assert labels(drawn["first_frames"]) == {"time (ms)"}
    assert labels(drawn["load"]) == {"busy (%)", "frames in hand", "time (s)"}
    assert labels(drawn["comb"]) == {
        "frequency (Hz)",
        "level against the direct sound alone (dB)",
    }
    assert labels(drawn["link_loss"]) == {"time (s)", "late or lost (%)"}


@pytest.mark.parametrize("heading_deg", [0.0, 90.0, -135.0])
def test_directions_are_the_listeners_whatever_way_the_head_is_turned(heading_deg):
    turn = np.deg2rad(heading_deg + np.array([0.0, 90.0]))  # ahead, and to the left
    spots = [(3 + np.cos(t), 2 + np.sin(t), 1.2) for t in turn]
    positions = {"listener": (3, 2, 1.2), "target": spots[0], "noise_1": spots[1]}
    (axes,) = run_figures.scene_from_above(positions, (6, 4, 3), heading_deg).axes
    written = {text.get_text() for text in axes.texts}
    assert {"target\n1.00 m, 0°", "noise 1\n1.00 m, +90°", "L", "R"} <= written
    place = {text.get_text(): np.array(text.get_position()) for text in axes.texts}
    to_the_left = np.array(spots[1][:2]) - [3, 2]
    assert (place["L"] - place["R"]) @ to_the_left > 0


def test_spectrogram_shows_a_tone_where_it_is():
    tone = np.sin(2 * np.pi * 2000 * np.arange(16000) / 16000)
    figure = run_figures.spectrograms({"noisy": np.stack([tone, 0.1 * tone])}, 16000)
    left, right = (axes.get_images()[0].get_array() for axes in figure.axes[:2])
    assert np.all(np.argmax(left, axis=0) == 64)  # 2 kHz of 8 kHz in 256 steps
    assert left.max() == pytest.approx(0.0, abs=1e-6)
    assert right.max() == pytest.approx(-20.0, abs=1e-6)


def test_long_signals_do_not_make_larger_pictures():
    figure = run_figures.spectrograms({"noisy": np.zeros((2, 60 * 16000))}, 16000)
    assert figure.axes[0].get_images()[0].get_array().shape[1] <= COLUMNS + 1
    long_mask = run_figures.masks({"mn_dnn": np.zeros((2, 9, 5000))}, 0.016, 16000)
    assert long_mask.axes[0].get_images()[0].get_array().shape[1] <= COLUMNS
    assert long_mask.axes[0].get_images()[0].get_extent() == [0, 80, 0, 8]  # seconds, kHz


def test_gantt_chart_stops_after_the_frames_asked_for():
    timeline = example_timeline()
    (axes,) = timeline_figures.first_frames(timeline, frames=3).axes
    assert axes.get_xlim()[1] < 1.03 * (3 * HOP_NS + 16_000_000) / 1e6
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "left core",
        "left → right",
        "right → left",
        "right core",
    ]
    timeline_figures.first_frames(example_timeline(frames=4), frames=10)  # more than there are


def test_link_figure_counts_what_the_timeline_counts():
    timeline = example_timeline(frames=200)
    above, _ = timeline_figures.link_loss(timeline, window_s=200 * HOP_NS / 1e9).axes
    to_right, to_left = (line.get_ydata() for line in above.lines)
    status = timeline.channels["reference"].status
    assert to_left == pytest.approx([100 * np.mean(status[0] != 0)])
    assert to_right == pytest.approx([100 * np.mean(status[1] != 0)])


def test_silence_and_no_packets_can_be_drawn():
    result = example_result(40)
    quiet = {name: 0 * waveform for name, waveform in result.audio.items()}
    png_bytes(run_figures.spectrograms(quiet, 16000))
    timeline = example_timeline(frames=4)
    png_bytes(timeline_figures.first_frames(timeline))
    png_bytes(timeline_figures.link_loss(timeline))
    positions = {"listener": (0, 0, 0), "target": (1, 0, 0)}
    png_bytes(run_figures.scene_from_above(positions, None))


def test_matplotlib_comes_late_and_pyplot_never():
    code = (
        "import sys, hasim.reporting.run_figures as plots; assert 'matplotlib' not in sys.modules\n"
        "from hasim.reporting.figure import png_bytes\n"
        "png_bytes(plots.scene_from_above({'listener': (0, 0, 0)}, None))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.benchmark
def test_all_figures_of_a_run_take_less_than_four_seconds():
    from time import perf_counter

    result = example_result(500)
    start = perf_counter()
    sizes = [len(png_bytes(drawn)) for drawn in figures(result).values()]
    seconds = perf_counter() - start
    print(f"\n8 s of sound: {seconds:.2f} s for {sum(sizes) / 1e6:.1f} MB of figures")
    assert seconds < 4


def test_load_is_the_share_of_time_and_adds_up_to_what_was_computed():
    timeline = example_timeline(100)
    figure = timeline_figures.load(timeline, window_s=0.25)
    left = figure.axes[0].patches[0].get_data()
    spent_ns = np.sum(left.values / 100 * np.diff(left.edges)) * 1e9
    steps = timeline.steps[timeline.steps["ear"] == 0]
    assert spent_ns == pytest.approx(np.sum(steps["end_ns"] - steps["start_ns"]), rel=1e-12)
    in_the_middle = 100 * 10_000_000 / HOP_NS  # STEPS take so long in every hop
    assert np.median(left.values) == pytest.approx(in_the_middle, rel=0.05)


def test_a_span_across_windows_is_shared_out():
    edges = np.array([0, 10, 20, 30])
    covered = timeline_figures._covered_ns(np.array([25, 5]), np.array([26, 18]), edges)
    assert covered.tolist() == [0, 5, 13, 14]
    overlapping = timeline_figures._covered_ns(np.array([0, 5]), np.array([15, 25]), edges)
    assert overlapping.tolist() == [0, 15, 30, 35]


def test_comb_says_where_its_first_notch_is():
    (axes,) = run_figures.comb(10.0).axes
    assert axes.get_title().endswith("10 ms late, first notch at 50 Hz")
    level_db = axes.lines[0].get_ydata()
    assert level_db.max() == pytest.approx(6.02, abs=0.01)
    assert run_figures.comb(0.0).axes[0].get_title().endswith("0 ms late")
