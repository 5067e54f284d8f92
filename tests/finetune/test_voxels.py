"""Voxels as features, and maps of voxels for each person."""

import numpy as np
import pytest
import torch
from brainfm.finetune.trial_batch import TrialBatch
from brainfm.finetune.voxels import Voxels

from brainfm.batches import Window, collate
from brainfm.sensors import SENSOR_TYPES, SensorArray


def batch(sizes=(4, 4), subjects=(1, 2), n_volumes=3, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    windows = [
        Window(
            x=rng.standard_normal((n, n_volumes)).astype(np.float32),
            sensors=SensorArray(
                positions=np.arange(3.0 * n).reshape(n, 3) / 1000 + shift,
                orientations=np.zeros((n, 3)),
                types=np.full(n, "voxel"),
                names=tuple(map(str, range(n))),
            ),
            good=np.ones(n, bool),
            scale=np.ones(n, np.float32),
            lowpass=np.nan,
            recording=0,
            start=0,
        )
        for n in sizes
    ]
    nothing = torch.zeros(len(sizes), dtype=torch.int64)
    return TrialBatch(
        signal=collate(windows),
        features=None,
        subject=torch.tensor(subjects),
        target=nothing,
        rivals=nothing[:, None][:, :0],
        passage=nothing,
        onset=nothing.float(),
        trial=torch.arange(len(sizes)),
    )


def test_without_a_map_features_are_the_voxels():
    one = batch()
    found = Voxels()
    found.build(one, 2)
    features = found(one)
    assert features.shape == (2, 3, 1, 4)
    torch.testing.assert_close(features[:, :, 0], one.signal.x.transpose(1, 2))
    assert found.weightless
    assert found.digest
    assert not list(found.parameters())


@pytest.mark.parametrize("other", [{"sizes": (5, 5)}, {"shift": 0.01}])
def test_other_voxels_than_those_decoded_from_are_refused(other):
    found = Voxels()
    found.build(batch(), 2)
    with pytest.raises(ValueError, match="one mask or an atlas in a common space"):
        found(batch(**other))


def test_every_person_has_a_map_that_padding_and_others_leave_alone():
    found = Voxels(width=2)
    found.build(batch((4, 6)), 2)
    assert not found.digest
    both = found(batch((4, 6)))
    assert both.shape == (2, 3, 1, 2)
    # The first person alone: no padding, the same features.
    torch.testing.assert_close(found(batch((4,), (1,))), both[:1])
    both[0].sum().backward()
    gradient = found.maps.grad
    assert (gradient[0, :4] != 0).all()
    assert (gradient[0, 4:] == 0).all()
    assert (gradient[1] == 0).all()


def test_who_was_not_in_training_has_no_map():
    found = Voxels(width=2)
    found.build(batch(), 2)
    with pytest.raises(ValueError, match="trial 1 is of a person who is not in training"):
        found(batch(subjects=(1, 0)))
    with pytest.raises(ValueError, match="a run has 7 voxels, more than the 4"):
        found(batch((7,), (1,)))
    with pytest.raises(ValueError, match="width must not be negative"):
        Voxels(-1)


def test_the_type_of_voxels_is_no_sensor_of_tokenizers():
    from brainfm.brain_tokenizer import TokenizerConfig

    assert "voxel" not in TokenizerConfig().types
    assert set(TokenizerConfig().types) == set(SENSOR_TYPES) - {"voxel"}
