import numpy as np
import pytest
from scipy import stats

from brainfm.bootstrap import blocks_interval, mean_interval, stretch

N_STUDIES = 1500


def coverage(values, truth):
    """Return how many of the intervals of studies (S, U) hold the true mean."""
    rng = np.random.default_rng(0)
    low, high = mean_interval(values, generator=rng, n_resamples=500)
    return ((low <= truth) & (truth <= high)).mean()


@pytest.mark.parametrize("n_units", [4, 5, 6, 8, 12, 20])
def test_intervals_over_few_people_cover_as_often_as_they_say(n_units):
    rng = np.random.default_rng(n_units)
    shape = N_STUDIES, n_units
    each = [
        coverage(rng.standard_normal(shape), 0.0),
        coverage(rng.binomial(40, 0.5, shape) / 40, 0.5),  # accuracy of 40 trials at chance
        coverage(rng.binomial(160, 0.125, shape) / 160, 0.125),  # top-10 of 80, likewise
    ]
    # 4,500 studies: the standard error is .003; each kind of study by itself has .006.
    assert 0.935 < np.mean(each) < 0.96, each
    assert min(each) > 0.925, each


def test_three_people_have_a_wide_interval_that_covers():
    values = np.random.default_rng(3).standard_normal((N_STUDIES, 3))
    assert 0.93 < coverage(values, 0.0) < 0.97


def test_limits_end_intervals_and_cost_no_coverage():
    rng = np.random.default_rng(5)
    values = rng.binomial(40, 0.97, (N_STUDIES, 5)) / 40  # nearly perfect: above 1 there is nothing
    each = [
        mean_interval(values, generator=np.random.default_rng(0), n_resamples=200, limits=limits)
        for limits in [(0.0, 1.0), (-np.inf, np.inf)]
    ]
    (low, high), (free_low, free_high) = each
    assert high.max() == 1.0 < free_high.max()
    np.testing.assert_array_equal(low, free_low)
    np.testing.assert_array_equal(high >= 0.97, free_high >= 0.97)


def test_plain_percentiles_would_be_too_narrow():
    rng = np.random.default_rng(6)
    values = rng.standard_normal((N_STUDIES, 6))
    low, high = mean_interval(values, generator=np.random.default_rng(0), n_resamples=500)
    mean, by = values.mean(1), stretch(6)
    plain_low, plain_high = mean + (low - mean) / by, mean + (high - mean) / by
    assert ((plain_low < 0) & (plain_high > 0)).mean() < 0.9
    assert by == pytest.approx(np.sqrt(6 / 5) * 2.5706 / 1.96, rel=1e-4)  # Student's, 5 degrees
    assert stretch(10_000) == pytest.approx(1.0, abs=1e-3)


def test_of_many_normal_units_it_is_students_interval():
    values = np.random.default_rng(1).standard_normal(40)
    low, high = mean_interval(values, generator=np.random.default_rng(0), n_resamples=20_000)
    expected = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    np.testing.assert_allclose([low, high], expected, atol=0.02)


def test_the_interval_moves_and_grows_with_the_values():
    values = np.random.default_rng(0).standard_normal(10)

    def interval(x):
        return np.array(mean_interval(x, generator=np.random.default_rng(1)))

    low, high = interval(values)
    assert low < values.mean() < high
    np.testing.assert_allclose(interval(3 * values + 5), 3 * np.array([low, high]) + 5)
    assert interval(np.full(5, 0.7)) == pytest.approx([0.7, 0.7])


def test_blocks_are_drawn_within_each_subject():
    seen = []

    def statistic(chosen):
        assert [len(c) for c in chosen] == [3, 4]
        seen.append([set(c.tolist()) for c in chosen])
        return float(chosen[0].mean() + chosen[1].mean())

    low, high = blocks_interval(
        statistic, [3, 4], generator=np.random.default_rng(0), n_resamples=300
    )
    assert set().union(*(s[0] for s in seen)) == {0, 1, 2}
    assert set().union(*(s[1] for s in seen)) == {0, 1, 2, 3}
    assert low < 1 + 1.5 < high


def test_one_unit_has_no_interval():
    with pytest.raises(ValueError, match="at least 2 units"):
        stretch(1)
