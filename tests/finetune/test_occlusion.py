import numpy as np
import pytest
import torch
from brainfm.finetune.occlusion import Device, mean_map, select, sensor_maps, silenced
from brainfm.finetune.trial_batch import TrialBatch

from brainfm.batches import Batch
from brainfm.sensors import SENSOR_TYPES

EEG = SENSOR_TYPES["eeg"].code


def grid(n=12, seed=0):
    """Return places 8 cm apart on a line, so that no two are neighbours."""
    return np.stack([0.08 * np.arange(1, n + 1), np.full(n, 0.01), np.full(n, 0.02)], 1)


def batch_of(x, positions, n_padding=0):
    x = torch.as_tensor(x, dtype=torch.float32)
    n, c, _ = x.shape
    full = c + n_padding
    padded = torch.zeros(n, full, x.shape[2])
    padded[:, :c] = x
    places = torch.zeros(n, full, 3)
    places[:, :c] = torch.as_tensor(positions, dtype=torch.float32)
    mask = torch.arange(full).expand(n, full) < c
    signal = Batch(
        x=padded,
        positions=places,
        orientations=torch.zeros(n, full, 3),
        types=torch.where(mask, EEG, 0),
        mask=mask,
        scale=torch.ones(n, full),
        lowpass=torch.full((n,), 40.0),
        recording=torch.zeros(n, dtype=torch.int64),
        start=torch.zeros(n, dtype=torch.int64),
    )
    numbers = torch.arange(n)
    return TrialBatch(
        signal=signal,
        features=None,
        subject=numbers * 0,
        target=numbers % 2,
        rivals=torch.zeros(n, 0, dtype=torch.int64),
        passage=numbers,
        onset=numbers.float(),
        trial=numbers,
    )


def planted(sensor, n_sensors=12, n=40):
    """Return trials whose class is the sign of one sensor, and a decoder that reads it there."""
    x = np.random.default_rng(0).standard_normal((n, n_sensors, 5)).astype(np.float32)
    x[:, sensor] = np.where(np.arange(n) % 2, 1.0, -1.0)[:, None]

    def decode(batch):
        return batch.signal.x[:, sensor].mean(-1).numpy()

    def judge(output, trial):
        # Ties, as of silence, count one half.
        right = np.where(trial % 2, 1.0, -1.0)
        return float(np.where(output == 0, 0.5, output * right > 0).mean())

    return x, decode, judge


def test_only_the_sensor_that_is_read_is_missed():
    x, decode, judge = planted(7)
    devices = []
    batch = batch_of(x, grid(), n_padding=3)
    (found,) = sensor_maps(
        decode, [select(batch, range(25)), select(batch, range(25, 40))], judge, devices
    ).values()
    assert (found.score, found.n_trials) == (1.0, 40)
    assert found.drop.tolist() == [0.5 if k == 7 else 0.0 for k in range(12)]
    assert found.device.name == "12 EEG"


def test_neighbours_are_silenced_with_a_sensor():
    x, _, _ = planted(0)
    places = grid()
    places[1] = places[0] + np.array([0.03, 0, 0])
    before = batch_of(x, places)
    after = silenced(before, 0, 0.04)
    assert (after.signal.x[:, :2] == 0).all()
    assert not after.signal.mask[:, :2].any()
    torch.testing.assert_close(after.signal.x[:, 2:], before.signal.x[:, 2:])
    assert (before.signal.x[:, :2] != 0).all()


def test_another_head_is_the_same_device_and_other_sensors_are_not():
    x, decode, judge = planted(3)
    moved = grid() + np.array([0.01, -0.01, 0.005])
    half = batch_of(x[:, :6], grid(6))
    devices = []
    batches = [batch_of(x, grid()), batch_of(x, moved), half]
    found = sensor_maps(decode, batches, judge, devices)
    assert [(m.device.name, m.n_trials) for m in found.values()] == [("12 EEG", 80), ("6 EEG", 40)]
    again = sensor_maps(decode, [half], judge, devices)
    assert list(again) == [1]
    assert len(devices) == 2


def test_sensors_at_one_place_are_one_place():
    places = grid(3).repeat(3, axis=0)
    device = Device(types=np.zeros(9, np.int64), positions=places)
    assert device.places == [0, 3, 6]


def test_the_mean_over_folds_goes_by_trials_and_leaves_out_what_is_not_defined():
    x, decode, judge = planted(3)
    one = sensor_maps(decode, [batch_of(x, grid())], judge, [])[0]
    none = sensor_maps(decode, [batch_of(x, grid())], lambda *_: float("nan"), [])[0]
    mean = mean_map([one, none])
    assert (mean.score, mean.n_trials) == (1.0, 40)
    assert mean.drop[3] == pytest.approx(0.5)
    assert mean_map([none]) is None
