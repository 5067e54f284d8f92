import numpy as np
import pytest

from brainfm.averaging import ALL, averaging_curve, credit_of
from brainfm.retrieval_metrics import RetrievalConfig, retrieval_metrics


def repeated(n_subjects=3, n_contents=8, n_each=4, effect=1.0, seed=0):
    rng = np.random.default_rng(seed)
    place = np.tile(np.repeat(np.arange(n_contents), n_each), n_subjects)
    subjects = np.repeat([f"s{k}" for k in range(n_subjects)], n_contents * n_each)
    similarity = rng.standard_normal((len(place), n_contents))
    similarity[np.arange(len(place)), place] += effect
    return similarity, place, subjects


def test_credit_is_that_of_the_measures_of_retrieval():
    rng = np.random.default_rng(0)
    similarity, place = rng.integers(0, 4, (30, 9)).astype(float), rng.integers(0, 9, 30)
    found = credit_of(similarity, place, (1, 3))
    for expected in retrieval_metrics(similarity, RetrievalConfig(top=(1, 3), ways=(2,))):
        if expected.metric.name in ("top-1", "top-3"):
            own = found[expected.metric.name]
        elif expected.metric.name == "2-way":
            own = found["2-way"]
        else:
            continue
        np.testing.assert_allclose(own, expected.credit[np.arange(30), place])


def test_items_outside_the_gallery_do_not_count():
    similarity = np.array([[0.5, 0.2, -np.inf, -np.inf]])
    found = credit_of(similarity, np.array([1]), (1,))
    assert found["2-way"] == 0  # one other, which is more similar
    with pytest.raises(ValueError, match="not in the gallery"):
        credit_of(similarity, np.array([2]), (1,))


def test_averaging_raises_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    for effect, rises in ((1.0, True), (0.0, False)):
        given = repeated(n_contents=20, n_each=8, effect=effect)
        points = averaging_curve(*given, generator=rng)
        assert [point.k for point in points] == [1, 2, 4, 8]
        assert {point.n_contents for point in points} == {60}
        first, last = (np.mean(list(points[k].values["2-way"].values())) for k in (0, -1))
        assert (last > first + 0.1) == rises
        if not rises:
            assert abs(last - 0.5) < 0.12


def test_two_opposite_presentations_cancel():
    # One presentation finds the content, the other its rival as surely: the average is a tie.
    similarity = np.array([[1.0, 0.0], [0.0, 1.0]])
    place, rng = np.zeros(2, np.int64), np.random.default_rng(0)
    one, two = averaging_curve(similarity, place, ["s", "s"], generator=rng)
    assert one.values["top-1"] == two.values["top-1"] == {"s": 0.5}


def test_over_subjects_takes_one_presentation_of_each():
    similarity, place, subjects = repeated(n_subjects=5, n_each=3, effect=3.0)
    rng = np.random.default_rng(0)
    points = averaging_curve(similarity, place, subjects, over_subjects=True, generator=rng)
    assert [point.k for point in points] == [1, 2, 4]  # five people, not fifteen presentations
    assert all(set(point.values["top-1"]) == {ALL} for point in points)


def test_nothing_presented_twice_has_no_curve():
    rng = np.random.default_rng(0)
    assert averaging_curve(np.eye(4), np.arange(4), ["s"] * 4, generator=rng) == []
