"""What the filters did to talker and noise, each sent through them alone. Signals (ear, sample).

With s and n the talker (whole image) and the noise at the reference microphone, and s', n' what the
filters of the run make of each, the energies over the whole scored time give

    SNR improvement   = 10 lg(|s'|^2 / |n'|^2) - 10 lg(|s|^2 / |n|^2)
    noise reduction   = 10 lg(|n|^2 / |n'|^2)
    speech distortion = 10 lg(|s - s'|^2 / |s|^2)

They are broadband and over the whole time: a mean over segments would be ruled by pauses and by the
first frames of a filter that adapts. Noise reduction and speech distortion are the inverse
noise-reduction factor and the speech-distortion index of Chen, Benesty, Huang and Doclo, "New
insights into the noise reduction Wiener filter", IEEE TASLP 14(4), 2006, in dB.
"""

from __future__ import annotations

from numpy import ndarray

from hasim.config.ears import EARS
from hasim.metrics.power import energy, is_silent, ratio_db
from hasim.metrics.signals import NOT_SENT_THROUGH, Score, Scores, Signals, Unscored


def snr_improvement_db(s: ndarray, n: ndarray, s_through: ndarray, n_through: ndarray) -> Score:
    """SNR after the filters less the SNR before, in dB; signals (sample)."""
    before = ratio_db(
        energy(s), energy(n), if_zero="silent talker", if_unbounded="silent noise at the microphone"
    )
    after = ratio_db(
        energy(s_through),
        energy(n_through),
        if_zero="nothing of the talker comes through",
        if_unbounded="nothing of the noise comes through, so the ratio has no bound",
    )
    if isinstance(before, Unscored):
        return before
    if isinstance(after, Unscored):
        return after
    return after - before


def noise_reduction_db(n: ndarray, n_through: ndarray) -> Score:
    """How much weaker the noise is after the filters, in dB; signals (sample)."""
    if is_silent(n):
        return Unscored("silent noise at the microphone")
    return ratio_db(
        energy(n),
        energy(n_through),
        if_zero="the filters raise the noise without bound",
        if_unbounded="nothing of the noise comes through, so the ratio has no bound",
    )


def speech_distortion_db(s: ndarray, s_through: ndarray) -> Score:
    """Energy of what the filters change in the talker over that of the talker, in dB; (sample).

    Lower is better: 0 dB where nothing comes through, about -6 dB where half of the amplitude does.
    """
    if is_silent(s):
        return Unscored("silent talker")
    return ratio_db(
        energy(s - s_through),
        energy(s),
        if_zero="no distortion: the talker comes through unchanged",
        if_unbounded="the filters raise the talker without bound",
    )


def measure(signals: Signals) -> Scores:
    """`snr_improvement_db_left`, `noise_reduction_db_...`, `speech_distortion_db_...`, `_right`."""
    # The whole image, also where the reference is a part of it.
    talker = signals.noisy - signals.noise
    numbers: dict[str, Score] = {}
    for i, ear in enumerate(EARS):
        s, n = talker[i], signals.noise[i]
        if signals.target_through is None or signals.noise_through is None:
            improvement = reduction = distortion = NOT_SENT_THROUGH
        else:
            s_through, n_through = signals.target_through[i], signals.noise_through[i]
            improvement = snr_improvement_db(s, n, s_through, n_through)
            reduction = noise_reduction_db(n, n_through)
            distortion = speech_distortion_db(s, s_through)
        numbers[f"snr_improvement_db_{ear}"] = improvement
        numbers[f"noise_reduction_db_{ear}"] = reduction
        numbers[f"speech_distortion_db_{ear}"] = distortion
    return numbers
