"""Blocks of any length give what scipy and MNE give on the whole signal."""

from fractions import Fraction

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from brainfm.filtering import (
    convolve_valid,
    fir_blocks,
    make_kernel,
    make_resampler,
    resample_blocks,
    usable_lowpass,
)
from brainfm.tape import Tape, copied


def cut(x, first, lengths):
    """Blocks of x from ``first`` on whose lengths cycle through ``lengths``."""
    at, i = first, 0
    while at < x.shape[1]:
        n = lengths[i % len(lengths)]
        yield x[:, at : at + n], None
        at, i = at + n, i + 1


def join(blocks):
    return np.concatenate([x for x, _ in map(copied, blocks)], axis=1)


@given(
    n=st.integers(1, 60),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    reach=st.integers(0, 70),
    step=st.integers(1, 20),
)
@settings(max_examples=100, deadline=None)
def test_windows_of_a_tape_are_those_of_the_padded_signal(n, lengths, reach, step):
    x = np.random.default_rng(n).standard_normal((2, n))
    mode = {"mode": "edge"} if n == 1 else {"mode": "reflect", "reflect_type": "odd"}
    padded = np.pad(x, ((0, 0), (reach, reach)), **mode)
    tape = Tape(cut(x, 0, lengths), first=0, n_total=n)
    for at in range(0, n, step):
        until = min(at + step, n)
        window, _ = tape.take(at - reach, until + reach)
        np.testing.assert_allclose(window, padded[:, at : until + 2 * reach], atol=1e-12)


@pytest.mark.parametrize(
    ("sfreq", "up", "down"), [(1000.0, 32, 125), (160.0, 8, 5), (90.0, 128, 45), (512.0, 1, 2)]
)
def test_resampling_is_that_of_scipy(sfreq, up, down):
    h_freq = usable_lowpass(96.0, sfreq, 256.0)
    resampler = make_resampler(sfreq, 256.0, h_freq)
    x = np.random.default_rng(0).standard_normal((3, int(7 * sfreq) + 3))
    n = resampler.n_out(x.shape[1])
    taps = mne.filter.create_filter(
        None, sfreq * up, None, h_freq, h_trans_bandwidth=h_freq / 4, verbose="error"
    )
    margin = down * (resampler.reach // down + 2)
    padded = np.pad(x, ((0, 0), (margin, margin)), mode="reflect", reflect_type="odd")
    expected = resample_poly(padded, up, down, axis=1, window=taps)[:, margin * up // down :][:, :n]
    for block, lengths in ((10_000, [100_000]), (37, [5, 400]), (64, [1000])):
        raw = cut(x, 0, lengths)
        out = join(resample_blocks(raw, resampler, n_in=x.shape[1], start=0, stop=n, block=block))
        np.testing.assert_allclose(out, expected, atol=1e-12)
    start = max(0, resampler.first_input(300))
    raw = cut(x, start, [77])
    middle = resample_blocks(raw, resampler, n_in=x.shape[1], start=300, stop=900, block=50)
    np.testing.assert_allclose(join(middle), expected[:, 300:900], atol=1e-12)


def test_odd_rates_do_not_drift():
    sfreq = 600.614990234375
    resampler = make_resampler(sfreq, 256.0, 96.0)
    n_in = int(3600 * sfreq)
    assert resampler.n_out(n_in) == -int(-n_in * Fraction(256) // Fraction(sfreq))
    last = resampler.n_out(n_in) - 1000
    first = resampler.first_input(last)
    times = np.arange(first, first + 400) / sfreq
    wave = np.sin(2 * np.pi * 10 * times)[None]
    out = resampler.apply(wave, first, last, last + 32)
    expected = np.sin(2 * np.pi * 10 * np.arange(last, last + 32) / 256)
    np.testing.assert_allclose(out[0], expected, atol=2e-3)  # a drift of 1 ms would be 0.06


@pytest.mark.parametrize("n_times", [5069 * 2, 12_000, 40_001])
def test_high_pass_and_notch_are_those_of_mne(n_times):
    kernel = make_kernel(256.0, 0.1, (50.0, 100.0))
    x = np.random.default_rng(0).standard_normal((2, n_times))
    expected = mne.filter._overlap_add_filter(x, kernel.copy(), phase="zero")
    for block, lengths in ((100_000, [100_000]), (777, [3000]), (5000, [1, 9000])):
        out = join(
            fir_blocks(
                cut(x, 0, lengths), kernel, n_total=n_times, start=0, stop=n_times, block=block
            )
        )
        np.testing.assert_allclose(out, expected, atol=1e-11)


def test_the_kernel_is_mnes_high_pass_and_notch_one_after_the_other():
    kernel = make_kernel(256.0, 0.1, (60.0,))
    x = np.random.default_rng(0).standard_normal((1, 30_000))
    y = mne.filter.notch_filter(x, 256.0, [60.0], verbose="error")
    y = mne.filter.filter_data(y, 256.0, 0.1, None, verbose="error")
    ours = convolve_valid(x, kernel)
    half = len(kernel) // 2
    inner = slice(half, -half)
    np.testing.assert_allclose(ours[:, half:-half], y[:, half:-half][:, inner], atol=1e-6)


def test_lowpass_follows_the_slower_of_the_two_rates():
    assert usable_lowpass(96.0, 1000.0, 256.0) == 96.0
    assert usable_lowpass(96.0, 160.0, 256.0) == 64.0
    assert usable_lowpass(200.0, 1000.0, 256.0) == pytest.approx(102.4)
