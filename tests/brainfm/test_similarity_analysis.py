"""Dissimilarities without the bias of noise, transforms, and their comparison."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from brainfm.similarity_analysis import (
    agreement,
    dissimilarities,
    geometry,
    ranks,
    subject_ceiling,
    topology,
    unbiased_dissimilarities,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_dissimilarities_are_what_their_names_say():
    x = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [2.0, 4.0, 6.0]])
    np.testing.assert_allclose(dissimilarities(x), [2, 0, 2], atol=1e-12)
    np.testing.assert_allclose(dissimilarities(x, "euclidean"), [8 / 3, 14 / 3, 30 / 3])
    np.testing.assert_allclose(dissimilarities(x, "cosine"), [4 / 14, 0, 4 / 14], atol=1e-12)


@pytest.mark.parametrize("whiten", [False, True])
def test_noise_enlarges_plain_distances_but_not_those_across_repeats(whiten):
    signal = np.repeat(rng().standard_normal((5, 60)), 2, axis=0)  # pairs of equal stimuli
    noisy = signal + 2 * rng(1).standard_normal((8, 10, 60))
    plain = dissimilarities(noisy.mean(axis=0), "euclidean")
    found = unbiased_dissimilarities(noisy, whiten=whiten)
    truth = dissimilarities(signal, "euclidean")
    scale = 4 if whiten else 1  # distances in units of the noise's variance
    equal = truth == 0
    assert equal.sum() == 5
    # Plain ones of equal stimuli are 2 * 4 / 8 = 1.
    assert plain[equal].mean() == pytest.approx(1, abs=0.2)
    assert scale * found[equal].mean() == pytest.approx(0, abs=0.25)
    assert scale * found[~equal].mean() == pytest.approx(truth[~equal].mean(), rel=0.3)


def test_products_of_repeats_are_those_of_a_loop():
    repeats = rng().standard_normal((3, 4, 5))
    expected = []
    for i in range(4):
        for j in range(i + 1, 4):
            d = repeats[:, i] - repeats[:, j]
            expected.append(
                np.mean([d[a] @ d[b] / 5 for a in range(3) for b in range(3) if a != b])
            )
    np.testing.assert_allclose(unbiased_dissimilarities(repeats), expected)


def test_transforms_go_from_geometry_to_topology():
    values = np.arange(11.0)
    np.testing.assert_allclose(topology(0, 1)(values), values / 10)
    np.testing.assert_allclose(
        topology(0.2, 0.6)(values), [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    )
    np.testing.assert_allclose(topology(0.5, 0.5)(values), [0] * 6 + [1] * 5)
    np.testing.assert_allclose(ranks(np.array([5.0, 1.0, 5.0])), [0.75, 0, 0.75])
    with pytest.raises(ValueError, match="quantiles"):
        topology(0.8, 0.2)


def test_ranks_give_spearman_and_a_planted_model_is_found():
    patterns = rng().standard_normal((14, 30))
    model = dissimilarities(patterns)
    brain = dissimilarities(patterns + 0.7 * rng(1).standard_normal((14, 30)))
    found = agreement(model, brain, generator=rng(), n_permutations=200)
    assert found.r == pytest.approx(spearmanr(model, brain).statistic)
    assert found.p_value == pytest.approx(1 / 201)
    same = agreement(model, model, transform=geometry, generator=rng(), n_permutations=20)
    assert same.r == pytest.approx(1)


def test_unrelated_dissimilarities_are_at_chance():
    p_values, r = [], []
    for seed in range(40):
        one = dissimilarities(rng(seed).standard_normal((9, 12)))
        other = dissimilarities(rng(1000 + seed).standard_normal((9, 12)))
        found = agreement(one, other, generator=rng(seed), n_permutations=99)
        p_values.append(found.p_value)
        r.append(found.r)
    assert abs(np.mean(r)) < 4 * np.std(r) / np.sqrt(40)
    assert 0.3 < np.mean(p_values) < 0.7


def test_the_ceiling_is_one_for_equal_subjects_and_holds_zero_for_unrelated_ones():
    one = dissimilarities(rng().standard_normal((8, 6)))
    assert subject_ceiling(np.stack([one, one, 2 * one])) == pytest.approx((1, 1))
    unrelated = np.stack([dissimilarities(rng(k).standard_normal((20, 30))) for k in range(6)])
    low, high = subject_ceiling(unrelated)
    assert low == pytest.approx(0, abs=0.1)
    assert high > low


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="pattern 1 has no correlation"):
        dissimilarities(np.array([[1.0, 2.0], [1.0, 1.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="2 repeats and 3 stimuli"):
        unbiased_dissimilarities(np.ones((1, 4, 3)))
    with pytest.raises(ValueError, match="other stimuli"):
        agreement(np.ones(3), np.ones(6), generator=rng())
    with pytest.raises(ValueError, match="two subjects"):
        subject_ceiling(np.ones((1, 3)))
