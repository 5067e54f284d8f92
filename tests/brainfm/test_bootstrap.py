import numpy as np
import pytest
from scipy import stats

from brainfm.bootstrap import blocks_interval, expanded_level, mean_interval

N_STUDIES = 500


@pytest.mark.parametrize("n_units", [6, 12, 30])
def test_the_interval_of_a_mean_covers_as_often_as_it_says(n_units):
    rng = np.random.default_rng(n_units)
    values = 0.3 + rng.standard_normal((N_STUDIES, n_units))
    low, high = mean_interval(values, generator=rng, n_resamples=1000)
    covered = ((low < 0.3) & (high > 0.3)).mean()
    # Three standard errors of 95 % in 500 studies, and 1 % for so few units.
    assert 0.95 - 0.04 < covered < 0.95 + 0.035


def test_plain_percentiles_would_not():
    rng = np.random.default_rng(6)
    values = 0.3 + rng.standard_normal((N_STUDIES, 6))
    plain = 2 * stats.norm.cdf(stats.norm.ppf(0.975)) - 1
    assert expanded_level(6) > 0.99 > plain
    assert expanded_level(10_000) == pytest.approx(0.95, abs=1e-4)
    draws = values[:, rng.integers(0, 6, (1000, 6))].mean(-1)
    low, high = np.quantile(draws, [0.025, 0.975], axis=-1)
    assert ((low < 0.3) & (high > 0.3)).mean() < 0.91


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
        expanded_level(1)
