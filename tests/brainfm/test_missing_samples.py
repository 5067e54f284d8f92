"""Gaps and bad channels through the whole chain: marked with a reason, and no other's concern."""

from dataclasses import replace

import mne
import numpy as np
from known_signals import filtered, make_recording, noise

from brainfm.processing import ProcessingConfig, process
from brainfm.quality import Quality
from brainfm.sensors import SensorArray


def test_nan_is_marked_zero_filled_and_not_spread():
    x = noise(12, 60) + 0.02  # volts of offset: what a zero in a gap would turn into a step
    gap = slice(10_000, 12_250)  # 20.0 s to 24.5 s
    holed = x.copy()
    holed[3, gap] = np.nan
    clean, out = (process(make_recording(v, line_freq=50.0)) for v in (x, holed))
    y, z = clean.array().astype(np.float64), out.array().astype(np.float64)
    assert np.isfinite(z).all()
    first, last = 20 * 256, int(24.5 * 256)
    assert (z[3, first : last - 1] == 0).all()
    np.testing.assert_array_equal(np.flatnonzero(out.quality), np.arange(20, 25))
    assert set(out.quality[20:25].tolist()) == {int(Quality.NAN)}
    near = np.r_[first - 512 : first - 3, last + 3 : last + 512]
    ratio = clean.scale["eeg"] / out.scale["eeg"]
    far = np.abs(z[3, near] - ratio * y[3, near]).max()
    assert far < 3.0  # a drift of the gap's width remains; the step of 0.02 V would be 1000
    other = np.abs(z[5, near] - ratio * y[5, near]).max()
    assert other < 0.2


def test_a_gap_over_many_blocks_is_bridged_in_the_same_way():
    x = noise(3, 60)
    x[0, :4000] = np.nan
    x[1, 9000:26_000] = np.nan
    x[2, -300:] = np.nan
    recording = make_recording(x)
    a, b = (filtered(recording, block_s=s, detect_bad=False) for s in (2.0, 500.0))
    assert np.isfinite(a).all()
    np.testing.assert_allclose(a, b, atol=1e-9 * np.abs(b).max())


def test_bad_channels_are_masked_with_a_reason():
    x = noise(16, 40)
    x[3] = 1.0
    x[5] *= 300.0
    x[7] = 40e-5 * np.random.default_rng(5).standard_normal(x.shape[1])
    x[9] = np.nan
    bads = np.zeros(16, bool)
    bads[11] = True
    out = process(make_recording(x, bads=bads))
    assert np.flatnonzero(~out.good).tolist() == [3, 5, 7, 9, 11]
    assert out.bad_reasons["eeg3"] == "flat"
    assert out.bad_reasons["eeg11"] == "marked bad in the file"
    assert out.bad_reasons["eeg9"] == "no samples"
    assert np.isfinite(out.array().astype(np.float64)).all()
    only_marked = process(make_recording(x, bads=bads), ProcessingConfig(detect_bad=False))
    assert np.flatnonzero(~only_marked.good).tolist() == [9, 11]


def test_interpolated_channels_come_from_their_neighbours():
    montage = mne.channels.make_standard_montage("colin27_1020")
    names = [
        "Fp1",
        "Fp2",
        "F3",
        "Fz",
        "F4",
        "T7",
        "C3",
        "Cz",
        "C4",
        "T8",
        "P3",
        "Pz",
        "P4",
        "O1",
        "O2",
    ]
    info = mne.create_info(names, 250.0, "eeg").set_montage(montage)
    positions = np.array([channel["loc"][:3] for channel in info["chs"]])
    sensors = SensorArray(
        positions=positions,
        orientations=np.zeros_like(positions),
        types=np.array(["eeg"] * len(names)),
        names=tuple(names),
    )
    field = 1e-5 * positions[:, :1] / 0.1  # a gradient from left to right
    rng = np.random.default_rng(0)
    x = field * np.cumsum(rng.standard_normal(5000))[None] * 0.1 + 1e-7 * rng.standard_normal(
        (len(names), 5000)
    )
    bads = np.array([name == "C3" for name in names])
    recording = replace(make_recording(x, 250.0, bads=bads), sensors=sensors)
    out = process(recording, ProcessingConfig(bad_channels="interpolate", detect_bad=False))
    assert out.good.all()
    truth = filtered(replace(recording, bads=np.zeros_like(bads)), detect_bad=False)
    mended = filtered(recording, bad_channels="interpolate", detect_bad=False)
    i = names.index("C3")
    assert np.corrcoef(truth[i], mended[i])[0, 1] > 0.95
