"""Memory of processing: that of what is looked at together, not of the recording."""

import tracemalloc

import numpy as np
import pytest
from known_signals import make_sensors

from brainfm.processing import process
from brainfm.recordings import Recording
from brainfm.signal_chain import KEEP_VALUES

MB = 2**20


def endless(n_channels, seconds, sfreq, kind="eeg", missing=()):
    """A recording that repeats ten seconds and needs memory for no more than these."""
    period = round(10 * sfreq)
    x = 1e-5 * np.random.default_rng(0).standard_normal((n_channels, period))

    def signal(start, stop):
        at = np.arange(start, stop)
        found = x[:, at % period]
        for row, first, end in missing:
            found[row, (at >= first * sfreq) & (at < end * sfreq)] = np.nan
        return found

    return Recording(
        source="endless",
        sensors=make_sensors([kind] * n_channels),
        sfreq=sfreq,
        n_times=round(seconds * sfreq),
        signal=signal,
        bads=np.zeros(n_channels, bool),
        line_freq=50.0,
    )


def peak(recording):
    """Memory in MB that Python and numpy hold at most while a recording is processed."""
    tracemalloc.start()
    try:
        for block in process(recording).blocks():
            assert block.dtype == np.float16
        return tracemalloc.get_traced_memory()[1] / MB
    finally:
        tracemalloc.stop()


@pytest.fixture(autouse=True, scope="module")
def designed_filters():
    """Filters, which are kept once they are designed, are not what is measured."""
    for sfreq in (256.0, 1000.0):
        process(endless(3, 30, sfreq))


def test_a_minute_takes_as_much_as_eight():
    short, long = (peak(endless(64, 60 * minutes, 256.0)) for minutes in (1, 8))
    assert long < 1.1 * short
    assert long < 45  # the high-pass works on 100 s at once: 13 MB; the scale is that of 120: 16 MB


@pytest.mark.slow
def test_many_channels_take_as_much_in_a_minute_as_in_four():
    short, long = (peak(endless(306, 60 * minutes, 256.0, "mag")) for minutes in (1, 4))
    assert long < 1.2 * short
    assert long < 130


def test_gaps_add_little():
    gaps = [(1, 20, 21), (2, 40, 80), (3, 0, 5)]
    without, with_gaps = (peak(endless(64, 120, 1000.0, missing=m)) for m in ((), gaps))
    assert with_gaps < 1.1 * without


def test_what_is_kept_of_a_short_recording_is_bounded():
    """The longest recording that is kept in memory, raw and filtered, beside one that is not."""
    seconds = KEEP_VALUES / 64 / 256
    kept, long = (peak(endless(64, s, 256.0)) for s in (seconds - 1, seconds + 120))
    assert kept < long + 2 * 8 * KEEP_VALUES / MB
