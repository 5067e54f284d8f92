"""ConvNet and EEGNet: what every backbone promises, and what makes each of them itself."""

from dataclasses import replace

import pytest
import torch
from brainfm.finetune.backbone import Backbone
from brainfm.finetune.conv_net import ConvNet, ConvNetConfig
from brainfm.finetune.eegnet import EEGNet, EEGNetConfig
from brainfm.finetune.spatial_attention import SpatialAttention, flatten
from brainfm.finetune.trial_batch import TrialBatch

from brainfm.batches import Batch

N_CHANNELS, N_TIMES = 6, 96
WIDE = torch.float64
"""So that what must not change and what must can be told apart in untrained networks."""


def trial_batch(n_trials: int = 4, n_channels: int = N_CHANNELS, seed: int = 0) -> TrialBatch:
    """Make synthetic noise on a hemisphere of radius 9 cm, one slot of subject after the other."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(n_channels, 3, generator=torch.Generator().manual_seed(7))
    places[:, 2] = places[:, 2].abs()
    places = places.to(WIDE)
    places = 0.09 * places / places.norm(dim=1, keepdim=True) + torch.tensor([0.0, 0.0, 0.04])
    shape = (n_trials, n_channels)
    signal = Batch(
        x=torch.randn(*shape, N_TIMES, generator=generator, dtype=WIDE),
        positions=places.expand(n_trials, -1, -1).clone(),
        orientations=torch.zeros(*shape, 3, dtype=WIDE),
        types=torch.zeros(shape, dtype=torch.int64),
        mask=torch.ones(shape, dtype=torch.bool),
        scale=torch.ones(shape),
        lowpass=torch.full((n_trials,), 40.0),
        recording=torch.zeros(n_trials, dtype=torch.int64),
        start=torch.zeros(n_trials, dtype=torch.int64),
    )
    index = torch.arange(n_trials)
    return TrialBatch(
        signal=signal,
        features=None,
        subject=index % 3,
        target=index % 2,
        rivals=torch.zeros(n_trials, 0, dtype=torch.int64),
        passage=index,
        onset=index.float(),
        trial=index,
    )


def pick_channels(batch: TrialBatch, index: torch.Tensor) -> TrialBatch:
    per_channel = ("x", "positions", "orientations", "types", "mask", "scale")
    fields = {name: getattr(batch.signal, name)[:, index] for name in per_channel}
    return batch._replace(signal=batch.signal._replace(**fields))


def pick_trials(batch: TrialBatch, index: torch.Tensor) -> TrialBatch:
    signal = Batch(*(field[index] for field in batch.signal))
    others = {
        name: getattr(batch, name)[index]
        for name in ("subject", "target", "rivals", "passage", "onset", "trial")
    }
    return batch._replace(signal=signal, **others)


SMALL = ConvNetConfig(virtual_channels=8, harmonics=4, width=12, outputs=10, pool=4)


def conv_net(**changes: object) -> ConvNet:
    return ConvNet(replace(SMALL, **changes))  # type: ignore[arg-type]


def eegnet() -> EEGNet:
    return EEGNet(EEGNetConfig(kernel=16, late_kernel=4, dropout=0.0))


def built(model: Backbone, n_subjects: int = 2, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    model.build(trial_batch(), n_subjects)
    return model.to(WIDE)


@pytest.mark.parametrize(("make", "shape"), [(conv_net, (4, 24, 1, 10)), (eegnet, (4, 3, 1, 16))])
def test_features_have_the_shape_of_the_contract(make, shape):
    assert built(make()).eval()(trial_batch()).shape == shape


@pytest.mark.parametrize("make", [conv_net, eegnet])
def test_gradient_reaches_every_parameter_and_layers_name_each_once(make):
    model = built(make()).train()
    model(trial_batch()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    listed = [id(p) for layer in model.layers() for p in layer]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("make", [conv_net, eegnet])
def test_what_stands_in_a_masked_channel_changes_nothing(make):
    model, batch = built(make()).eval(), trial_batch()
    batch.signal.mask[:, 2] = False
    expected = model(batch)
    batch.signal.x[:, 2] = float("nan")
    torch.testing.assert_close(model(batch), expected)


@pytest.mark.parametrize("make", [conv_net, eegnet])
def test_trials_do_not_depend_on_their_company(make):
    model, batch = built(make()).eval(), trial_batch()
    alone = torch.cat([model(pick_trials(batch, torch.tensor([k]))) for k in range(4)])
    torch.testing.assert_close(model(batch), alone)


@pytest.mark.parametrize("make", [conv_net, eegnet])
def test_the_same_seed_gives_the_same_network(make):
    models = [built(make(), seed=seed).eval() for seed in (3, 3, 4)]
    one, same, other = (model(trial_batch()) for model in models)
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_conv_net_does_not_care_for_the_order_of_channels():
    model, batch = built(conv_net()).eval(), trial_batch()
    shuffled = pick_channels(batch, torch.tensor([3, 0, 5, 1, 4, 2]))
    torch.testing.assert_close(model(shuffled), model(batch))


def test_conv_net_uses_positions():
    model, batch = built(conv_net()).eval(), trial_batch()
    expected = model(batch)
    batch.signal.positions[:, 0] += 0.03
    assert not torch.allclose(model(batch), expected, atol=1e-6)


def test_conv_net_takes_padding_and_arrays_of_any_size():
    model, batch = built(conv_net()).eval(), trial_batch()
    padded = pick_channels(batch, torch.tensor([0, 1, 2, 3, 4, 5, 0, 0]))
    padded.signal.mask[:, 6:] = False
    torch.testing.assert_close(model(padded), model(batch))
    assert model(trial_batch(n_channels=9)).shape == (4, 24, 1, 10)


def test_a_trial_without_any_channel_is_finite():
    model, batch = built(conv_net()).eval(), trial_batch()
    batch.signal.mask[1] = False
    assert torch.isfinite(model(batch)).all()


def test_conv_net_treats_subjects_apart_and_all_unknown_ones_alike():
    model, batch = built(conv_net()).eval(), trial_batch()
    outputs = [model(batch._replace(subject=torch.full((4,), slot))) for slot in (0, 1, 2)]
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-6)
    assert not torch.allclose(outputs[1], outputs[2], atol=1e-6)


def test_slot_zero_learns_only_where_subjects_are_dropped():
    for dropout, learns in ((0.0, False), (0.9, True)):
        model = built(conv_net(subject_dropout=dropout)).train()
        torch.manual_seed(1)
        model(trial_batch()._replace(subject=torch.ones(4, dtype=torch.int64))).sum().backward()
        assert bool(model.subjects.maps.grad[0].any()) is learns


def test_spatial_dropout_leaves_out_sensors_in_training_only():
    attention, batch = SpatialAttention(3, 4, dropout=0.3).to(WIDE), trial_batch()
    torch.manual_seed(0)
    assert torch.equal(attention.eval()(batch.signal), attention(batch.signal))
    attention.train()
    draws = torch.stack([attention(batch.signal) for _ in range(8)])
    assert draws.std(0).max() > 0.01


def test_a_small_array_inside_the_hole_keeps_its_sensors():
    attention, batch = SpatialAttention(3, 4, dropout=0.9).to(WIDE).train(), trial_batch()
    for _ in range(10):
        assert (attention(batch.signal).abs().sum((1, 2)) > 0).all()


def test_flattened_head():
    vertex, right, down = [0.0, 0.0, 0.14], [0.1, 0.0, 0.04], [0.0, 0.1, -0.06]
    flat = flatten(torch.tensor([vertex, right, down]))
    # A quarter turn to the right; three eighths of a turn to the front: of a half turn .5 and .75.
    expected = torch.tensor([[0.5, 0.5], [0.5 + 0.4 * 0.5, 0.5], [0.5, 0.5 + 0.4 * 0.75]])
    torch.testing.assert_close(flat, expected)


def test_eegnet_refuses_other_channels_in_words():
    model = built(eegnet()).eval()
    with pytest.raises(ValueError, match=r"made for 6 channels and trial 0 has 9.*ConvNet"):
        model(trial_batch(n_channels=9))
    model.trial_recordings = ["sub-07_run-2", "sub-08_run-1"]
    with pytest.raises(ValueError, match=r"trial 0 \(recording sub-07_run-2\) has 9"):
        model(trial_batch(n_channels=9))
    with pytest.raises(ValueError, match=r"channel \d of trial 0 .* lies .* same order"):
        model(pick_channels(trial_batch(), torch.arange(5, -1, -1)))


def test_spatial_filters_of_eegnet_have_length_one_at_most():
    model, batch = built(eegnet()).eval(), trial_batch()
    expected = model(batch)
    with torch.no_grad():
        model.over_space.weight *= 50 / model.over_space.weight.flatten(1).norm(dim=1).min()
    first = model(batch)
    with torch.no_grad():
        model.over_space.weight *= 10
    torch.testing.assert_close(model(batch), first)
    assert not torch.allclose(first, expected)


@pytest.mark.parametrize("make", [conv_net, eegnet])
def test_a_trial_too_short_for_one_frame(make):
    batch = trial_batch()
    short = batch._replace(signal=batch.signal._replace(x=batch.signal.x[..., :3]))
    with pytest.raises(ValueError, match="lower pool"):
        make().build(short, 1)


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (ConvNetConfig, "width", 0),
        (ConvNetConfig, "subject_dropout", 1.0),
        (EEGNetConfig, "filters", 0),
        (EEGNetConfig, "dropout", -0.1),
    ],
)
def test_settings_out_of_range_are_named(config, field, value):
    with pytest.raises(ValueError, match=field):
        config(**{field: value})
