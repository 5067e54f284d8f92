"""What is wrong with a recording is found in the right second, in any unit."""

from itertools import pairwise

import numpy as np
import pytest

from brainfm.quality import (
    Quality,
    annotated_seconds,
    channel_flags,
    quality_track,
    second_edges,
    second_statistics,
)

SFREQ = 200.0
SECONDS = 30


def flags_of(x, sfreq=SFREQ, seconds_per_block=7):
    edges = second_edges(x.shape[1], sfreq)
    stops = [*range(0, len(edges) - 1, seconds_per_block), len(edges) - 1]
    blocks = (x[:, edges[a] : edges[b]] for a, b in pairwise(stops))
    return channel_flags(second_statistics(blocks, edges, len(x), sfreq), sfreq)


def seconds_with(flags, channel, flag):
    return np.flatnonzero(flags[channel] & np.uint8(flag)).tolist()


@pytest.fixture
def noise():
    rng = np.random.default_rng(0)
    return 1e-5 * rng.standard_normal((4, int(SECONDS * SFREQ))) + 0.01


def test_clean_noise_has_no_flags(noise):
    assert not flags_of(noise).any()


def test_each_fault_is_found_in_its_second(noise):
    x = noise.copy()
    x[0, 1000:1010] = np.nan  # second 5
    x[1, 2400:2430] = x[1].max() + 3e-5  # second 12, at the rail
    x[1, 3000:3030] = x[1, 2400]  # second 15, the same rail
    x[2, 4000:4400] = x[2, 4000]  # seconds 20 and 21
    x[3, 5100:] += 0.003  # second 25
    flags = flags_of(x)
    assert seconds_with(flags, 0, Quality.NAN) == [5]
    assert seconds_with(flags, 1, Quality.CLIPPED) == [12, 15]
    assert seconds_with(flags, 2, Quality.FLAT) == [20, 21]
    assert seconds_with(flags, 3, Quality.JUMP) == [25]
    assert np.count_nonzero(flags) == 6


@pytest.mark.parametrize("gain", [1e6, -1e-3])
@pytest.mark.parametrize("seconds_per_block", [1, 4, 100])
def test_neither_gain_nor_blocks_matter(noise, gain, seconds_per_block):
    x = noise.copy()
    x[1, 2400:2430] = x[1].max() + 3e-5
    x[2, 4000:4400] = x[2, 4000]
    x[3, 5200:] += 0.003  # exactly between two seconds
    np.testing.assert_array_equal(flags_of(x), flags_of(x * gain, SFREQ, seconds_per_block))


def test_coarse_steps_of_a_slow_signal_are_not_clipping():
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.standard_normal((2, 30 * 1000)), axis=1) * 1e-6
    assert np.count_nonzero(flags_of(np.round(slow, 6), 1000.0) & np.uint8(Quality.JUMP)) == 0
    assert np.count_nonzero(flags_of(np.round(slow, 6), 1000.0)) <= 4


def test_a_few_samples_at_the_end_are_not_flat(noise):
    assert not flags_of(np.concatenate([noise, noise[:, :1]], axis=1)).any()


def test_seconds_of_odd_rates():
    edges = second_edges(2000, 600.614990234375)
    assert edges.tolist() == [0, 601, 1202, 1802, 2000]
    assert second_edges(200, 200.0).tolist() == [0, 200]


def test_a_second_without_a_sample_has_no_statistics():
    x = np.random.default_rng(0).standard_normal((2, 2000))
    edges = second_edges(2000, 199.97)  # 10.0015 s: the last second begins where all ends
    assert edges[-2] == edges[-1]
    stats = second_statistics(iter([x]), edges, 2, 199.97)
    for table in (stats.low, stats.high, stats.step):
        assert np.isnan(table[:, -1]).all()
        assert np.isfinite(table[:, :-1]).all()


def test_one_channel_with_nan_marks_a_second_but_other_flags_need_a_share():
    flags = np.zeros((40, 3), dtype=np.uint8)
    flags[0, 0] = Quality.NAN
    flags[:1, 1] = Quality.JUMP
    flags[:2, 2] = Quality.JUMP
    good, types = np.ones(40, bool), np.array(["eeg"] * 40)
    assert quality_track(flags, good, types, share=0.05).tolist() == [1, 0, 8]
    assert quality_track(flags, good, types, share=0.0).tolist() == [1, 8, 8]
    good[0] = False
    assert quality_track(flags, good, types, share=0.05).tolist() == [0, 0, 8]


def test_annotations_that_begin_with_bad_mark_their_seconds():
    notes = [(1.5, 1.0, "BAD_muscle"), (4.0, 0.0, "bad"), (6.0, 1.0, "stimulus"), (8.9, 9.0, "Bad")]
    marked = np.flatnonzero(annotated_seconds(notes, 10) == Quality.ANNOTATED)
    assert marked.tolist() == [1, 2, 8, 9]
