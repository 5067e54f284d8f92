"""Planted features of pictures that were "seen": what comes back, and what needs no brain."""

import json

import numpy as np
import pytest
import torch

from brainfm.drawn_pictures import SEEN, UNSEEN, draw_pictures
from brainfm.image_metrics import ImageMetricsConfig, feature_scores
from brainfm.image_reconstruction import ReconstructionConfig
from brainfm.image_spaces import LatentSpace, PixelSpace
from brainfm.layer_decoders import decode_layers, fit_layers
from brainfm.network_features import image_features
from brainfm.reconstructed_images import (
    DECODED,
    NEIGHBOUR,
    PRIOR,
    TrainingPictures,
    prior_images,
    reconstruct_images,
)
from brainfm.small_image_networks import SMALL_INPUT, load_small_networks
from brainfm.unit_decoders import UnitDecoderConfig

LAYERS = ("conv3", "conv4", "fc5")
FEW = ("conv4", "fc5")
METRICS = ImageMetricsConfig(pixels=32, ways=(2,), shuffles=5)


@pytest.fixture(scope="module")
def networks():
    return load_small_networks()


@pytest.fixture(scope="module")
def pictures(networks):
    """160 pictures of the training side, and ten that were seen, four of them of unknown kinds."""
    g = torch.Generator().manual_seed(0)
    train, _ = draw_pictures(160, kinds=SEEN, generator=g)
    known, _ = draw_pictures(6, kinds=SEEN, generator=g)
    unknown, _ = draw_pictures(4, kinds=UNSEEN, generator=g)
    training = TrainingPictures(images=train, features=features_of(networks[1], train))
    return training, torch.cat([known, unknown])


def features_of(network, images, layers=LAYERS):
    return image_features(network, images, layers, given=SMALL_INPUT)


def noisy(features, training, snr):
    """Return features in noise of 1 / snr of each unit's deviation over the training pictures."""
    g = torch.Generator().manual_seed(1)
    found = {}
    for name, value in features.items():
        mean, deviation = training.features[name].mean(0), training.features[name].std(0)
        noise = deviation * torch.randn(value.shape, generator=g)
        found[name] = mean + (value - mean if snr else 0) + noise / (snr or 1)
    return found


def reconstructed(decoded, networks, pictures, space=None, **settings):
    generator, network = networks
    training, shown = pictures
    config = settings.pop("config", ReconstructionConfig(method="lbfgs", iterations=25))
    return reconstruct_images(
        decoded,
        network,
        space or LatentSpace(generator, generator.latent_shape),
        training,
        given=SMALL_INPUT,
        config=config,
        shown=shown,
        metrics=METRICS,
        **settings,
    )


def score(result, column, of="conv4", name="2-way"):
    return next(s.value for s in result.scores[column][of] if s.name == name)


@pytest.mark.slow
def test_what_comes_back_rises_with_the_signal(networks, pictures):
    training, shown = pictures
    truth = features_of(networks[1], shown)
    found = [
        reconstructed(noisy(truth, training, snr), networks, pictures) for snr in (0.0, 0.3, 3.0)
    ]
    nothing, some, much = (score(result, DECODED) for result in found)
    # Ten pictures: identification by chance is .5 with a deviation of about .1.
    assert 0.2 < nothing < 0.8
    assert some > 0.75
    assert much > 0.95
    assert much > score(found[2], NEIGHBOUR)
    pixels = [score(result, DECODED, "pixels", "PixCorr") for result in found]
    assert pixels[0] < 0.2 < pixels[1] < pixels[2]
    assert pixels[2] > score(found[2], NEIGHBOUR, "pixels", "PixCorr")
    # The prior knows nothing of what was seen, however much signal there is.
    assert len({score(result, PRIOR) for result in found}) == 1
    assert score(found[0], PRIOR) < 0.8


@pytest.mark.slow
def test_with_signal_shapes_that_no_training_showed_beat_the_nearest_neighbour(networks, pictures):
    training, shown = pictures
    truth = features_of(networks[1], shown)
    config = ReconstructionConfig(method="lbfgs", iterations=40)
    space = PixelSpace(training.images)
    found = reconstructed(noisy(truth, training, 10.0), networks, pictures, space, config=config)
    assert score(found, DECODED) == 1.0
    new = slice(6, 10)
    errors = {
        name: (images[new] - shown[new]).square().mean() for name, images in found.columns.items()
    }
    assert errors[DECODED] < 0.5 * errors[NEIGHBOUR]
    assert errors[DECODED] < 0.5 * errors[PRIOR]
    of_pixels = {name: score(found, name, "pixels", "PixCorr") for name in found.columns}
    assert of_pixels[DECODED] > of_pixels[NEIGHBOUR] > of_pixels[PRIOR]


def test_the_prior_is_at_chance_on_average(networks, pictures):
    generator, network = networks
    _, shown = pictures
    truth = features_of(network, shown, ["conv4"])["conv4"]
    space = LatentSpace(generator, generator.latent_shape)
    g = torch.Generator().manual_seed(2)
    values = []
    for _ in range(25):
        drawn = prior_images(space, len(shown), network=network, generator=g)
        features = features_of(network, drawn, ["conv4"])["conv4"]
        found = feature_scores(features, truth, METRICS, generator=np.random.default_rng(0))
        values.append(next(s.value for s in found if s.name == "2-way"))
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False], ids=["signal", "shuffled"])
def test_simulated_voxels_are_decoded_and_shuffled_ones_are_not(told, networks, pictures):
    network = networks[1]
    training, shown = pictures
    truth = features_of(network, shown, FEW)
    g = torch.Generator().manual_seed(3)
    tables = [torch.cat([f[name] for name in FEW], 1) for f in (training.features, truth)]
    mean, deviation = tables[0].mean(0), tables[0].std(0).clamp_min(1e-6)
    mix = torch.randn(tables[0].shape[1], 120, generator=g) / tables[0].shape[1] ** 0.5
    voxels = [(table - mean) / deviation @ mix for table in tables]
    seen, test = (4 * v + torch.randn(v.shape, generator=g) for v in voxels)
    if not told:
        seen = seen[torch.randperm(len(seen), generator=g)]
    config = UnitDecoderConfig(inputs=60, penalties=(0.1, 1.0, 10.0))
    decoders = fit_layers(seen, {name: training.features[name] for name in FEW}, config)
    decoded = decode_layers(decoders, test)
    # The deviation over units is that of real features, which regression had shrunk.
    for name in FEW:
        assert decoders[name].spread == pytest.approx(
            float((decoded[name] - decoders[name].mean).std(1, correction=0).mean()), rel=1e-3
        )
    found = feature_scores(
        decoded["conv4"], truth["conv4"], METRICS, generator=np.random.default_rng(0)
    )
    two_way = next(s.value for s in found if s.name == "2-way")
    assert two_way > 0.85 if told else 0.2 < two_way < 0.8


def test_the_files_are_montage_progress_and_scores(networks, pictures, tmp_path):
    training, shown = pictures
    training = TrainingPictures(images=training.images, features={"fc5": training.features["fc5"]})
    truth = features_of(networks[1], shown[:2], ["fc5"])
    config = ReconstructionConfig(iterations=3, every=2)
    given = (networks, (training, shown[:2]))
    found = reconstructed(truth, *given, config=config, out=tmp_path / "a", seed=3)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["progress.png", "reconstruction.png", "scores.json"]
    written = json.loads((tmp_path / "a" / "scores.json").read_text())
    assert sorted(written["scores"]) == sorted([DECODED, PRIOR, NEIGHBOUR])
    assert sorted(written["scores"][DECODED]) == ["fc5", "pixels"]
    assert len(written["loss"]) == 2
    again = reconstructed(truth, *given, config=config, seed=3)
    assert again.scores == found.scores


def test_the_nearest_neighbour_is_the_most_like_features(pictures):
    training, _ = pictures
    some = {name: 2 * value[[7, 3]] + 1 for name, value in training.features.items()}
    assert training.nearest(some).tolist() == [7, 3]
    with pytest.raises(ValueError, match="need a row each of the features of layers conv9"):
        training.nearest({"conv9": some["conv4"]})


def test_a_layer_that_cannot_be_decoded_is_named():
    x = torch.randn(10, 4)
    with pytest.raises(ValueError, match="layer fc5: "):
        fit_layers(x, {"fc5": torch.randn(9, 3)})
