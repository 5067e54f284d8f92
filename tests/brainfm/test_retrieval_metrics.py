from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainfm.retrieval_metrics import RetrievalConfig, cosine, gallery_of, retrieval_metrics

SMALL = RetrievalConfig(top=(1, 3), ways=(2, 4))


def retrieve(similarity, places, config=SMALL):
    return {
        r.metric.name: r.metric.compute(r.credit, np.asarray(places))
        for r in retrieval_metrics(similarity, config)
    }


def chance(size, config=SMALL):
    return {r.metric.name: r.metric.chance for r in retrieval_metrics(np.eye(size), config)}


def test_identity_is_perfect_and_its_reverse_the_worst():
    best = retrieve(np.eye(8), range(8))
    assert best.pop("median rank") == 1
    assert list(best.values()) == pytest.approx([1] * len(best))
    worst = retrieve(-np.eye(8), range(8))
    assert worst["median rank"] == 8
    assert worst["mean reciprocal rank"] == pytest.approx(1 / 8)
    assert worst["top-3"] == worst["2-way"] == worst["4-way"] == 0


def test_a_constant_similarity_is_chance_exactly():
    found = retrieve(np.ones((5, 8)), range(5))
    assert found == pytest.approx(chance(8))
    assert found["2-way"] == pytest.approx(1 / 2)
    assert found["top-3"] == pytest.approx(3 / 8)
    assert found["4-way"] == pytest.approx(1 / 4)
    assert found["median rank"] == 4.5


def test_every_place_once_is_chance_exactly():
    # A query against 8 contents, each of which is the right one once.
    row = np.random.default_rng(0).standard_normal(8)
    assert retrieve(np.tile(row, (8, 1)), range(8)) == pytest.approx(chance(8))


def test_ties_count_as_the_mean_over_random_orders():
    row = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    config = RetrievalConfig(top=(1, 2, 3), ways=(2, 3))
    orders = [np.array(p) for p in permutations(range(3))]
    broken = [row + 1e-6 * np.concatenate([[0], order, [0]]) for order in orders]
    expected = [retrieve(one[None], [2], config) for one in broken]
    found = retrieve(row[None], [2], config)
    for name, value in found.items():
        assert value == pytest.approx(np.mean([each[name] for each in expected])), name
    assert retrieve(np.array([[0.5, 0.5]]), [0], RetrievalConfig(top=(1,), ways=(2,)))["2-way"] == (
        0.5
    )


def test_a_smaller_gallery_is_the_mean_over_all_draws():
    # Two of five others are better: top-1 among 2 is 3/5, among 3 it is C(3,2)/C(5,2) = 3/10.
    row = np.array([[3.0, 5, 4, 2, 1, 0]])
    for size, expected in ((2, 3 / 5), (3, 3 / 10), (6, 0)):
        config = RetrievalConfig(top=(1,), ways=(), gallery_size=size)
        assert retrieve(row, [0], config)[f"top-1 of {size}"] == pytest.approx(expected)
        assert chance(6, config)[f"top-1 of {size}"] == pytest.approx(1 / size)
    assert retrieve(row, [0], RetrievalConfig(top=(), ways=(3,)))["3-way"] == pytest.approx(3 / 10)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(4, 12))
def test_measures_are_invariant_and_ordered(seed, size):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(0, 4, (6, size)).astype(float)
    places = rng.integers(0, size, 6)
    found = retrieve(similarity, places)
    assert retrieve(np.exp(2 * similarity) - 5, places) == pytest.approx(found)
    order = rng.permutation(size)
    assert retrieve(similarity[:, order], np.argsort(order)[places]) == pytest.approx(found)
    assert found["top-1"] <= found["mean reciprocal rank"] + 1e-12
    assert found["top-1"] <= found["top-3"] + 1e-12
    assert found["4-way"] <= found["2-way"] + 1e-12


def test_a_content_stands_in_the_gallery_once_however_often_it_was_shown():
    ids = ["fox", "dog", "fox", "cat"]
    features = np.array([[1.0, 0], [0, 1], [3, 0], [-1, 0]])
    gallery = gallery_of(ids, features)
    assert gallery.ids.tolist() == ["cat", "dog", "fox"]
    np.testing.assert_array_equal(gallery.features, [[-1, 0], [0, 1], [2, 0]])
    assert gallery.places(ids).tolist() == [2, 1, 2, 0]
    similarity = cosine(features, gallery)
    config = RetrievalConfig(top=(1,), ways=(2,))
    assert retrieve(similarity, gallery.places(ids), config)["top-1"] == 1
    with pytest.raises(ValueError, match=r"1 contents are not in the gallery of 3, e\.g\. cow"):
        gallery.places(["fox", "cow"])
    with pytest.raises(ValueError, match="one row for each"):
        gallery_of(ids, features[:2])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "top-10 needs a gallery of at least 10 contents, this one has 6"),
        ({"top": (1,)}, "10-way needs a gallery of at least 10 contents, this one has 6"),
        ({"top": (1,), "ways": (), "gallery_size": 9}, "a gallery of 9 contents is asked for"),
        ({"top": (3,), "ways": (), "gallery_size": 2}, "top-3 needs .* this one has 2"),
    ],
)
def test_a_gallery_that_is_too_small_is_an_error(config, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(np.eye(6), RetrievalConfig(**config))


def test_bad_settings_and_similarities_are_refused():
    with pytest.raises(ValueError, match="top"):
        RetrievalConfig(top=(0,))
    with pytest.raises(ValueError, match="at least 2"):
        RetrievalConfig(gallery_size=1)
    with pytest.raises(ValueError, match="NaN"):
        retrieval_metrics(np.full((2, 60), np.nan))
