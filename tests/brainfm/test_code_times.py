"""Frame times, by hand: 256 Hz, windows of 2 s, frames of 64 samples = 0.25 s."""

import numpy as np
import pytest

from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.code_times import frame_times, n_frames, n_windows, seconds_per_frame

PLAIN = TokenizerConfig()
OVERLAPPING = TokenizerConfig(overlap=0.25)


@pytest.mark.parametrize(
    ("n_times", "length", "stride", "expected"),
    [
        (1, 512, 512, 1),
        (512, 512, 512, 1),
        (513, 512, 512, 2),
        (1024, 512, 512, 2),
        (512, 512, 384, 1),
        (513, 512, 384, 2),
        (512 + 384, 512, 384, 2),
        (30 * 256, 512, 384, 20),  # the published segment: 20 windows
    ],
)
def test_windows_cover_every_sample(n_times, length, stride, expected):
    assert n_windows(n_times, length, stride) == expected
    assert (expected - 1) * stride + length >= n_times


def test_frames_end_with_the_recording_not_with_the_last_window():
    assert n_frames(512, PLAIN) == 8
    assert n_frames(100, PLAIN) == 2  # 64 + 36 samples
    assert n_frames(513, PLAIN) == 9
    assert n_frames(600, OVERLAPPING) == 8 + 4  # 600 - 384 = 216 samples = 3.4 frames
    assert n_frames(30 * 256, OVERLAPPING) == 19 * 8 + 6  # the last window begins at 28.5 s


def test_times_are_the_centres_of_frames():
    np.testing.assert_allclose(frame_times(0, 3, PLAIN), [0.125, 0.375, 0.625])
    np.testing.assert_allclose(frame_times(7, 10, PLAIN), [1.875, 2.125, 2.375])
    # The second window begins at 384 / 256 = 1.5 s.
    np.testing.assert_allclose(frame_times(7, 10, OVERLAPPING), [1.875, 1.625, 1.875])


def test_no_frame_begins_after_the_end():
    for n_times in range(1, 2000, 37):
        for cfg in (PLAIN, OVERLAPPING):
            begin = frame_times(0, n_frames(n_times, cfg), cfg) - 0.125
            assert begin.max() < n_times / 256
            assert begin.max() + 0.25 >= n_times / 256


def test_new_signal_per_frame_counts_overlap_once():
    assert seconds_per_frame(PLAIN) == 0.25
    assert seconds_per_frame(OVERLAPPING) == 0.1875  # 1.5 s of new signal in 8 frames
