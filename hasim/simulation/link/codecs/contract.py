"""What a codec has to fulfil, tested: `check(codec)`."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy import ndarray

from hasim.config.contract import Check, Checks, spec_problem
from hasim.simulation.link.codecs.codec import Codec

HOP = 256
BINS = 257
PACKETS = 12


def check(codec: Codec) -> list[Check]:
    """Every point of the contract in `codec.py`, in the order in which it is tested.

    Values are random streams of samples or spectra, whichever the codec's `domain` says.
    """
    checks = Checks()
    if not checks.run("is a Spec with a kind", lambda: spec_problem(codec)):
        return checks.done
    if not checks.run("declares domain, bits, work and delay", lambda: _declared(codec)):
        return checks.done
    if not checks.run("decodes to the shape that was coded", lambda: _shape(codec)):
        return checks.done
    checks.run("decodes something of the signal", lambda: _signal(codec))
    checks.run("decodes the same twice", lambda: _same_twice(codec))
    checks.run("leaves its input alone", lambda: _input_kept(codec))
    checks.run("needs no later packet than its delay", lambda: _causal(codec))
    checks.run("survives silence and full scale 0", lambda: _silence(codec))
    checks.run("has no more values than its bits can tell apart", lambda: _bits(codec))
    checks.run("keeps a linear map without rounding", lambda: _linear(codec))
    checks.run("gives a noise power of the right shape, or None", lambda: _noise(codec))
    checks.run("has a ladder of falling bits, and a smaller copy", lambda: _ladder(codec))
    return checks.done


def _numbers(codec: Codec) -> tuple[int, int]:
    """Numbers of a packet, and parts of a number."""
    return (HOP, 1) if codec.domain == "samples" else (BINS, 2)


def _values(codec: Codec, packets: int = PACKETS) -> tuple[ndarray, ndarray]:
    """Values (ear, stream, packet, number), and their full scale (ear, 1, 1, 1)."""
    rng = np.random.default_rng(0)
    numbers, parts = _numbers(codec)
    values = 0.1 * rng.standard_normal((2, 1, packets, numbers))
    if parts == 2:
        values = values + 0.1j * rng.standard_normal(values.shape)
    return values, np.full((2, 1, 1, numbers if parts == 2 else 1), 0.5)


def _declared(codec: Codec) -> str | None:
    if getattr(codec, "domain", None) not in ("samples", "spectrum"):
        return f"domain must be samples or spectrum (got {getattr(codec, 'domain', None)!r})"
    numbers, parts = _numbers(codec)
    bits = codec.bits_for(numbers, parts)
    if not isinstance(bits, int) or bits < 1:
        return f"bits_for({numbers}, {parts}) must be a whole number above 0 (got {bits!r})"
    macs = codec.macs_per_number
    if len(macs) != 2 or any(not isinstance(count, int) or count < 0 for count in macs):
        return f"macs_per_number must be two whole numbers, 0 or more (got {macs!r})"
    delay = codec.delay_samples(HOP)
    if not isinstance(delay, int) or delay < 0:
        return f"delay_samples must be a whole number, 0 or more (got {delay!r})"
    return None


def _shape(codec: Codec) -> str | None:
    values, full_scale = _values(codec)
    decoded = codec.encode_decode(values, full_scale)
    if np.shape(decoded) != values.shape:
        return f"got shape {np.shape(decoded)} for {values.shape}"
    if np.iscomplexobj(decoded) != np.iscomplexobj(values):
        return "must be real for samples and complex for spectra"
    return None if np.all(np.isfinite(decoded)) else "has NaN or infinity"


def _signal(codec: Codec) -> str | None:
    values, full_scale = _values(codec)
    decoded = codec.encode_decode(values, full_scale)
    energy = np.sum(np.abs(values) ** 2) * np.sum(np.abs(decoded) ** 2)
    if energy == 0:
        return "is silent"
    correlation = np.real(np.vdot(values, decoded)) / np.sqrt(energy)
    return None if correlation > 0.1 else f"correlation with the input is {correlation:.2f}"


def _same_twice(codec: Codec) -> str | None:
    values, full_scale = _values(codec)
    first, second = (codec.encode_decode(values, full_scale) for _ in range(2))
    return None if np.array_equal(first, second) else "the second time differs"


def _input_kept(codec: Codec) -> str | None:
    values, full_scale = _values(codec)
    before = values.copy()
    codec.encode_decode(values, full_scale)
    return None if np.array_equal(values, before) else "encode_decode changes `values` in place"


def _causal(codec: Codec) -> str | None:
    values, full_scale = _values(codec)
    late = -(-codec.delay_samples(HOP) // HOP) if codec.domain == "samples" else 0
    shared = PACKETS // 2
    other = values.copy()
    other[:, :, shared:] *= -0.5
    decoded = codec.encode_decode(values, full_scale)[:, :, : shared - late]
    again = codec.encode_decode(other, full_scale)[:, :, : shared - late]
    if np.array_equal(decoded, again):
        return None
    return f"packets differ that share all packets up to {late} after them"


def _silence(codec: Codec) -> str | None:
    values, full_scale = _values(codec)
    silent = codec.encode_decode(np.zeros_like(values), np.zeros_like(full_scale))
    return None if np.all(np.isfinite(silent)) else "has NaN or infinity"


def _bits(codec: Codec) -> str | None:
    """Packets of a single number, each a stream of its own: no more results than codes."""
    _, parts = _numbers(codec)
    try:
        bits = codec.bits_for(1, parts)
        if bits > 10 or codec.delay_samples(1):
            return None
        steps = (4 if parts == 1 else 1) * 2 ** (bits // parts)
        level = np.concatenate([np.linspace(0, 0.6, steps), np.geomspace(1e-6, 0.6, steps)])
        grid = np.concatenate([level, -level])
        values = grid if parts == 1 else (grid[:, None] + 1j * grid).ravel()
        decoded = codec.encode_decode(values[:, None, None], np.full((len(values), 1, 1), 0.5))
    except (ValueError, IndexError):
        # A codec of whole spectra need not take a single bin.
        return None
    found = len(np.unique(decoded))
    return None if found <= 2**bits else f"{found} values from {bits} bits"


def _linear(codec: Codec) -> str | None:
    values, _ = _values(codec)
    other = np.roll(values, 1, axis=-1)
    got = codec.linear(2 * values - other)
    if np.shape(got) != values.shape:
        return f"`linear` gives shape {np.shape(got)} for {values.shape}"
    want = 2 * codec.linear(values) - codec.linear(other)
    return None if np.allclose(got, want, atol=1e-9) else "`linear` is not linear"


def _noise(codec: Codec) -> str | None:
    values, full_scale = _values(codec)
    power = codec.noise_power(values, full_scale)
    if power is None:
        return None
    if np.shape(power) != values.shape:
        return f"got shape {np.shape(power)} for {values.shape}"
    return None if np.all(np.asarray(power) >= 0) else "is negative"


def _ladder(codec: Codec) -> str | None:
    numbers, parts = _numbers(codec)
    last: float = inf
    for step in codec.ladder:
        bits = step.bits_for(numbers, parts)
        if bits >= last or step.domain != codec.domain:
            return "each step of `ladder` must have fewer bits, in the same domain"
        last = bits
    if codec.ladder[0].bits_for(numbers, parts) != codec.bits_for(numbers, parts):
        return "`ladder` must begin with the codec's own bits"
    copy = codec.copy_codec
    if copy is not None and copy.domain != codec.domain:
        return "`copy_codec` must have the same domain"
    return None
