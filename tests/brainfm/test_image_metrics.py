"""Measures of images: identity, chance, ties, and agreement with other implementations."""

import numpy as np
import pytest
import torch

from brainfm.image_metrics import (
    ImageMetricsConfig,
    correlation_matrix,
    correlations,
    feature_scores,
    identification,
    pixel_scores,
    resized,
    retrieval_of_draws,
    structural_similarity,
)

SMALL = ImageMetricsConfig(pixels=32, ways=(2, 10), gallery_size=20, draws=5, shuffles=4)


def pictures(n=6, size=32, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, size, size, generator=g, dtype=torch.float64)


def rng():
    return np.random.default_rng(0)


def by_name(scores):
    return {score.name: score for score in scores}


def test_structural_similarity_and_correlation_agree_with_other_implementations():
    metrics = pytest.importorskip("skimage.metrics")
    color = pytest.importorskip("skimage.color")
    from torchmetrics.functional import pearson_corrcoef
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = pictures(seed=1), (0.7 * pictures(seed=1) + 0.3 * pictures(seed=2))
    ours = structural_similarity(a, b)
    grey = [[color.rgb2gray(x.permute(1, 2, 0).numpy()) for x in images] for images in (a, b)]
    for mine, x, y in zip(ours, *grey, strict=True):
        theirs = metrics.structural_similarity(
            x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
        )
        assert mine == pytest.approx(theirs, abs=1e-5)
    stacked = [torch.tensor(np.stack(g))[:, None] for g in grey]
    full = structural_similarity_index_measure(*stacked, data_range=1.0, return_full_image=True)[1]
    inside = full[..., 5:-5, 5:-5].mean((1, 2, 3))
    np.testing.assert_allclose(ours, inside.numpy(), atol=1e-5)
    flat = pearson_corrcoef(a.flatten(1).T, b.flatten(1).T)
    np.testing.assert_allclose(correlations(a, b), flat.numpy(), atol=1e-5)


def test_identity_is_one_on_every_measure():
    images = pictures(30)
    pixel = by_name(pixel_scores(images, images, SMALL, generator=rng()))
    features = by_name(feature_scores(images, images, SMALL, generator=rng()))
    assert set(pixel) == {"PixCorr", "SSIM"}
    assert set(features) == {"2-way", "10-way", "30-way", "top-1 of 20", "correlation distance"}
    for name, score in {**pixel, **features}.items():
        perfect = 0.0 if name == "correlation distance" else 1.0
        assert score.value == pytest.approx(perfect, abs=1e-9), name
        assert score.higher_is_better == (name != "correlation distance")


def test_images_paired_with_others_are_at_chance_on_every_measure():
    images = pictures(60)
    other = torch.roll(images, 1, 0)
    pixel = pixel_scores(other, images, SMALL, generator=rng())
    for score in pixel:
        assert score.value == pytest.approx(score.chance, abs=0.02)
    noise = torch.randn(60, 40, generator=torch.Generator().manual_seed(1))
    truth = torch.randn(60, 40, generator=torch.Generator().manual_seed(2))
    for score in feature_scores(noise, truth, SMALL, generator=rng()):
        # Standard errors: at most .5 / sqrt(60) for a proportion, much less here.
        assert score.value == pytest.approx(score.chance, abs=0.15), score.name
    assert by_name(feature_scores(noise, truth, SMALL, generator=rng()))["2-way"].chance == (
        pytest.approx(0.5)
    )


def test_ties_count_as_chance_on_every_measure_among_others():
    truth = torch.randn(25, 8, generator=torch.Generator().manual_seed(0))
    constant = torch.ones(25, 8)
    for score in feature_scores(constant, truth, SMALL, generator=rng()):
        assert score.value == pytest.approx(score.chance), score.name
    twice = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    two = identification(twice, ImageMetricsConfig(ways=(2,)))[0]
    # The first image beats one of its two rivals and ties with the other: 3/4; the rest 1.
    assert two.metric.compute(two.credit, np.arange(3)) == pytest.approx((0.75 + 1 + 1) / 3)


def test_the_mean_of_draws_is_the_expectation_over_all_draws():
    from brainfm.retrieval_metrics import RetrievalConfig, retrieval_metrics

    g = torch.Generator().manual_seed(4)
    truth = torch.randn(40, 10, generator=g)
    similarity = correlation_matrix(truth + 2 * torch.randn(40, 10, generator=g), truth)
    drawn = retrieval_of_draws(similarity, size=10, draws=400, generator=rng())
    exact = retrieval_metrics(similarity, RetrievalConfig(top=(1,), ways=(), gallery_size=10))[0]
    expected = exact.metric.compute(exact.credit, np.arange(40))
    assert drawn.mean() == pytest.approx(expected, abs=4 * drawn.std() / 20)


def test_images_of_another_size_are_brought_to_one():
    large = resized(pictures(2, size=64), 32)
    assert large.shape == (2, 3, 32, 32)
    flat = torch.full((1, 3, 20, 50), 0.3)
    torch.testing.assert_close(resized(flat, 32), torch.full((1, 3, 32, 32), 0.3).double())


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.full((2, 3, 9, 9), 255.0), "divide bytes by 255"),
        (torch.zeros(2, 1, 9, 9), "floating"),
        (torch.full((2, 3, 9, 9), torch.nan), "lie in"),
    ],
)
def test_what_is_no_image_is_named(images, words):
    with pytest.raises(ValueError, match=words):
        resized(images, 32)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="two or more"):
        pixel_scores(pictures(1), pictures(1), SMALL, generator=rng())
    with pytest.raises(ValueError, match="cannot draw a gallery of 9"):
        retrieval_of_draws(np.eye(5), size=9, draws=1, generator=rng())
    with pytest.raises(ValueError, match="draws must be at least 1"):
        ImageMetricsConfig(draws=0)
