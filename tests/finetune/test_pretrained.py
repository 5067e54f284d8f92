"""The encoder of a checkpoint as a backbone."""

import dataclasses

import numpy as np
import pytest
import torch
from brainfm.finetune.pretrained import Pretrained
from brainfm.finetune.trial_batch import TrialBatch

from brainfm.batches import Window, collate
from brainfm.checkpoints import load_checkpoint, save_checkpoint
from brainfm.encoder import canonical_order


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(), tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="module")
def published(tiny_model, tmp_path_factory):
    """What imported BrainOmni checkpoints are: architecture, overlap and input of their own."""
    model = tiny_model(
        architecture="brainomni", overlap=0.25, types={"eeg": 0, "mag": 1, "planar": 2}
    )
    model.record = dataclasses.replace(model.record, input_contract="brainomni")
    return save_checkpoint(model, tmp_path_factory.mktemp("published") / "checkpoint")


@pytest.fixture(scope="module")
def trials(head_sensors, brain_noise):
    """Trials of 200 samples: 6 EEG channels of which one is bad, and 4 magnetometers."""

    def window(types, seed):
        sensors = head_sensors(types, seed=seed)
        x = (brain_noise(len(types), 200 / 256, seed=seed) * 1e5).astype("float32")
        good = torch.ones(len(types), dtype=torch.bool).numpy()
        good[-1] = len(types) != 6
        scale = torch.ones(len(types)).numpy()
        return Window(x, sensors, good, scale, 96.0, 0, 0)

    return [window(["eeg"] * 6, 1), window(["mag"] * 4, 2), window(["eeg"] * 6, 3)]


def batch_of(windows):
    n = len(windows)
    zero = torch.zeros(n, dtype=torch.int64)
    return TrialBatch(
        signal=collate(windows),
        features=None,
        subject=zero,
        target=zero,
        rivals=zero.new_zeros(n, 0),
        passage=zero,
        onset=torch.zeros(n),
        trial=torch.arange(n),
    )


def built(checkpoint, trials, **settings):
    backbone = Pretrained(str(checkpoint), **settings)
    backbone.build(batch_of(trials), 2)
    return backbone.eval()


@pytest.mark.parametrize(("features", "width"), [("latents", 16), ("masked", 24), ("both", 40)])
def test_frames_sources_width(checkpoint, trials, features, width):
    """200 samples are 6.25 frames of 32: seven begin within the trial."""
    backbone = built(checkpoint, trials, features=features)
    assert backbone(batch_of(trials)).shape == (3, 7, 3, width)


@pytest.mark.parametrize("features", ["latents", "masked", "both"])
@pytest.mark.parametrize("which", ["checkpoint", "published"])
def test_company_and_padding_change_nothing(which, request, trials, features):
    backbone = built(request.getfixturevalue(which), trials, features=features)
    with torch.no_grad():
        together = backbone(batch_of(trials))
        alone = torch.cat([backbone(batch_of([one])) for one in trials])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-5)


def test_bad_channels_change_nothing(checkpoint, trials):
    backbone = built(checkpoint, trials)
    batch = batch_of(trials[:1])
    wild = batch.signal.x.clone()
    wild[0, 5] = 1e3
    changed = batch._replace(signal=batch.signal._replace(x=wild))
    torch.testing.assert_close(backbone(batch), backbone(changed))


def test_masked_features_have_mean_square_one(checkpoint, trials):
    features = built(checkpoint, trials, features="masked")(batch_of(trials))
    torch.testing.assert_close(features.square().mean(-1), torch.ones(3, 7, 3))


def test_they_are_those_of_the_encoder(checkpoint, trials):
    """The codes of the trial, through the masked model's second block."""
    batch, model = batch_of(trials[:1]), load_checkpoint(checkpoint)
    s = batch.signal
    sensors = model.tokenizer.embed_sensors(s.positions, s.orientations, s.types, s.mask)
    codes = model.tokenizer.tokenize(s.x, sensors)[:, :, :7]
    expected = model.masked_model.features(codes, 2).transpose(1, 2) * 24**0.5
    found = built(checkpoint, trials, features="masked", layer=2)(batch)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("features", "inside", "outside"),
    [
        ("latents", "tokenizer.encoder", "masked_model"),
        ("masked", "masked_model.blocks", "tokenizer"),
    ],
)
def test_training_reaches_what_has_a_part_in_the_features(
    checkpoint, trials, features, inside, outside
):
    backbone = built(checkpoint, trials, features=features)
    trained = {name for name, p in backbone.model.named_parameters() if p.requires_grad}
    assert any(name.startswith(inside) for name in trained)
    assert not any(name.startswith((outside, "tokenizer.decoder")) for name in trained)
    backbone(batch_of(trials)).square().sum().backward()
    for parameter in backbone.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad


@pytest.mark.parametrize("which", ["checkpoint", "published"])
@pytest.mark.parametrize("features", ["latents", "masked", "both"])
def test_layers_hold_each_trained_weight_once(which, request, trials, features):
    backbone = built(request.getfixturevalue(which), trials, features=features)
    listed = [id(p) for layer in backbone.layers() for p in layer]
    assert sorted(listed) == sorted(id(p) for p in backbone.parameters() if p.requires_grad)


def test_imported_features_are_those_of_the_encoder(published, head_sensors, brain_noise):
    """A whole recording of 2 s is one trial; the encoder sees the same segment."""
    from brainfm.encoder import Encoder
    from brainfm.recordings import recording_from_array

    encoder, sensors = Encoder.from_pretrained(published), head_sensors(["eeg"] * 5)
    recording = recording_from_array(brain_noise(5, 2.0), 256.0, sensors)
    processed = encoder.process(recording)
    order = canonical_order(processed.sensors, processed.good)
    scale = np.array([processed.scale["eeg"]] * len(order), dtype=np.float32)
    x = processed.array().astype(np.float32)[order]
    window = Window(x, processed.sensors.select(order), processed.good[order], scale, 96.0, 0, 0)
    expected = encoder.encode(recording, layer=2).values * 24**0.5
    found = built(published, [window], features="masked", layer=2)(batch_of([window]))
    np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-4)


def test_a_random_one_is_new_but_the_same_for_a_seed(checkpoint, trials):
    batch = batch_of(trials)
    known = built(checkpoint, trials)(batch)
    first, again, other = (
        built(checkpoint, trials, random=True, seed=seed)(batch) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert (first - known).abs().mean() > 0.1
    assert (first - other).abs().mean() > 0.1


def test_a_random_one_uses_its_codes(checkpoint, trials):
    backbone = built(checkpoint, trials, random=True)
    quantizer = backbone.model.tokenizer.quantizer
    assert quantizer.initialised
    noise = torch.randn(1, 6, 128 * 40)
    s = batch_of(trials[:1]).signal
    sensors = backbone.model.tokenizer.embed_sensors(s.positions, s.orientations, s.types, s.mask)
    codes = backbone.model.tokenizer.tokenize(noise, sensors)
    assert all(len(codes[..., level].unique()) > 4 for level in range(2))


def test_the_digest_tells_apart(checkpoint, published):
    backbones = [
        Pretrained(str(checkpoint)),
        Pretrained(str(published)),
        Pretrained(str(checkpoint), features="masked"),
        Pretrained(str(checkpoint), features="masked", layer=-1),
        Pretrained(str(checkpoint), random=True),
        Pretrained(str(checkpoint), random=True, seed=1),
    ]
    assert len({backbone.digest for backbone in backbones}) == 6
    assert Pretrained(str(checkpoint)).digest == backbones[0].digest


def test_a_tokenizer_alone_has_latents_only(tiny_model, trials, tmp_path):
    folder = save_checkpoint(tiny_model(masked=None), tmp_path / "tokenizer")
    with pytest.raises(ValueError, match="set features to latents"):
        Pretrained(str(folder))
    assert built(folder, trials, features="latents")(batch_of(trials)).shape[-1] == 16


def test_what_it_was_pretrained_on(checkpoint):
    training, splits = Pretrained(str(checkpoint)).pretraining()
    assert (training, splits) == ({"context_frames": 12}, [])
    assert Pretrained(str(checkpoint), random=True).pretraining() is None


def test_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint folder"):
        Pretrained(str(tmp_path))


def test_dropout_is_on_in_training_only(tiny_model, trials, tmp_path):
    from brainfm.masked_model import MaskedModelConfig

    masked = MaskedModelConfig(width=24, n_heads=2, depth=2, dropout=0.5)
    model = tiny_model(masked=masked)
    backbone = built(save_checkpoint(model, tmp_path / "dropout"), trials, features="masked")
    batch = batch_of(trials)
    assert torch.equal(backbone(batch), backbone(batch))
    backbone.train()
    codebooks = backbone.model.tokenizer.quantizer.codebooks.clone()
    assert not torch.equal(backbone(batch), backbone(batch))
    assert torch.equal(backbone.model.tokenizer.quantizer.codebooks, codebooks)


def test_sources_are_the_waveforms_of_the_lead_field(checkpoint, trials):
    """Linear in the sensors, whole frames of 32 samples, zero after the end of the trial."""
    backbone = built(checkpoint, trials, features="sources")
    batch = batch_of(trials)
    with torch.no_grad():
        found = backbone(batch)
        assert found.shape == (3, 7, 3, 32)
        louder = backbone(batch._replace(signal=batch.signal._replace(x=3 * batch.signal.x)))
        alone = torch.cat([backbone(batch_of([one])) for one in trials])
    torch.testing.assert_close(louder, 3 * found)
    torch.testing.assert_close(alone, found, atol=2e-5, rtol=1e-5)
    waves = found.transpose(1, 2).flatten(2)
    assert not waves[..., 200:].any()
    tokenizer = backbone.model.tokenizer
    s = batch.signal
    embedded = tokenizer.embed_sensors(s.positions, s.orientations, s.types, s.mask)
    expected = tokenizer.gather.gather(s.x, *embedded)
    torch.testing.assert_close(waves[..., :200], expected)


def test_training_on_sources_reaches_the_lead_field_only(checkpoint, trials):
    backbone = built(checkpoint, trials, features="sources")
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained
    assert all("sensor_embedding" in name or "gather" in name for name in trained)
    assert sum(len(layer) for layer in backbone.layers()) == len(trained)


def test_the_published_architecture_has_no_waveforms_of_sources(published):
    with pytest.raises(ValueError, match=r"no waveforms of sources .* set features to latents"):
        Pretrained(str(published), features="sources")
