"""Records of arrays, packed and read back."""

from __future__ import annotations

import numpy as np
import pytest

from hasim.config.records import npz_bytes, packed, read_npz, unpacked
from hasim.config.spec import InputError
from hasim.simulation.timeline import Deliveries, Timeline
from tests.example_run import example_timeline

CLASSES = {"Timeline": Timeline, "Deliveries": Deliveries}


def test_a_record_comes_back_to_the_last_bit(tmp_path):
    timeline = example_timeline(50)
    path = tmp_path / "timeline.npz"
    path.write_bytes(npz_bytes(timeline))
    again = read_npz(path, CLASSES)
    assert isinstance(again, Timeline)
    assert again.steps.dtype == timeline.steps.dtype
    assert np.array_equal(again.packets, timeline.packets)
    assert isinstance(again.channels["reference"].waits_ns, tuple)
    assert npz_bytes(again) == npz_bytes(timeline)


def test_what_cannot_be_stored_is_an_error():
    with pytest.raises(TypeError, match="set cannot be stored"):
        packed({"a": {1, 2}})


def test_only_the_named_classes_are_made():
    with pytest.raises(KeyError):
        unpacked(packed(example_timeline(3)), {"Timeline": Timeline})


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "bit", "other"])
def test_a_damaged_archive_is_refused(tmp_path, damage):
    path = tmp_path / "timeline.npz"
    whole = npz_bytes(example_timeline(20))
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    contents = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "bit": bytes(changed),
        "other": (tmp_path / "other.npz").read_bytes(),
    }
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(InputError, match=r"timeline\.npz: (no such file|damaged)"):
        read_npz(path, CLASSES)
