"""Measures of volumes: within recordings, against turned truth, without what regions share."""

from types import SimpleNamespace

import numpy as np
import pytest
from brainfm.finetune.evaluation_curves import per_output
from brainfm.finetune.evaluation_scores import ScoringConfig, score_measure
from brainfm.finetune.measures import measures_of
from brainfm.finetune.predictions import Predictions
from brainfm.finetune.series_measures import (
    Series,
    connectivity_r,
    mean_r,
    r_without_global,
    region_r,
)
from brainfm.finetune.series_nulls import region_tests, series_details, with_phases

CFG = ScoringConfig(n_permutations=20, n_resamples=20)


def slow(n, regions, rng):
    """Return a smooth series (n, regions)."""
    white = rng.standard_normal((n + 9, regions))
    return np.stack([np.convolve(x, np.ones(10), "valid") for x in white.T], axis=1)


def run_of(output, truth, n_recordings=2, subjects=None):
    """Return what measures need of a finished run of one fold, with volumes 2 s apart."""
    n = len(truth)
    each = n // n_recordings
    recording = np.repeat([f"r{k}" for k in range(n_recordings)], each)
    who = recording if subjects is None else np.array(subjects)
    fold = Predictions(
        trial=np.arange(n),
        target=np.arange(n),
        output=output,
        truth=truth,
        gallery=np.zeros(0, np.int64),
        rivals=np.zeros((n, 0), np.int64),
    )
    onsets = tuple((2.0 * np.arange(each)).tolist() * n_recordings)
    return SimpleNamespace(
        record=SimpleNamespace(kind="values", series=True, onsets=onsets, units=()),
        folds=(fold,),
        trial=np.arange(n),
        fold=np.zeros(n, np.int64),
        subjects=who,
        shuffled_within=recording,
        blocks=("recordings", recording),
        pooled=np.concatenate,
    )


def test_identity_is_one_and_constants_are_nothing():
    truth = slow(100, 4, np.random.default_rng(0))
    assert mean_r(truth, truth) == pytest.approx(1.0, abs=1e-5)
    assert r_without_global(truth, 3 * truth + 1) == pytest.approx(1.0, abs=1e-5)
    assert connectivity_r(truth, truth) == pytest.approx(1.0)
    assert mean_r(np.full_like(truth, 7.1), truth) == 0.0
    assert np.isnan(region_r(truth, np.full_like(truth, 7.1))).all()


def test_the_mean_is_fishers():
    # r of 0.6 and 0.8: tanh((atanh 0.6 + atanh 0.8) / 2) = tanh((0.6931 + 1.0986) / 2) = 0.7143.
    one, other = np.tile([1.0, -1.0], 50), np.repeat([1.0, -1.0], 50)
    truth = np.column_stack([one, one])
    output = np.column_stack([0.6 * one + 0.8 * other, 0.8 * one + 0.6 * other])
    assert region_r(output, truth) == pytest.approx([0.6, 0.8])
    assert mean_r(output, truth) == pytest.approx(0.7143, abs=1e-4)


def test_a_global_signal_alone_is_worth_nothing_without_it():
    rng = np.random.default_rng(1)
    shared = slow(400, 1, rng)
    truth, output = (shared * 3 + slow(400, 5, rng) for _ in range(2))
    assert mean_r(output, truth) > 0.8
    assert abs(r_without_global(output, truth)) < 0.15


def test_the_level_of_a_recording_is_worth_nothing():
    rng = np.random.default_rng(2)
    level = np.repeat([[0.0], [1000.0]], 200, axis=0)
    run = run_of(level + rng.standard_normal((400, 3)), level + rng.standard_normal((400, 3)))
    main = measures_of(run)[0]
    assert main.metric.name == "r"
    assert abs(main.metric.compute(main.prediction, main.target)) < 0.15
    assert max(abs(one["r"]["value"]) for one in per_output(run, CFG)) < 0.2


def test_truth_is_turned_by_half_a_minute_at_least_within_its_recording():
    truth = np.concatenate([np.arange(100.0), 500 + np.arange(100.0)])[:, None]
    series = Series.of(run_of(truth, truth))
    for seed in range(50):
        turned = series.turned(np.random.default_rng(seed))[:, 0]
        assert sorted(turned[:100]) == list(range(100))
        shift = int(turned[0])
        # 30 s are 15 volumes.
        assert 15 <= shift <= 85
        assert turned[100:].min() == 500


def test_random_phases_keep_spectra_and_how_regions_go_together():
    truth = slow(101, 3, np.random.default_rng(3)) + 10
    series = Series.of(run_of(truth, truth, n_recordings=1))
    other = with_phases(series, np.random.default_rng(0))
    assert np.abs(np.fft.rfft(other, axis=0)) == pytest.approx(np.abs(np.fft.rfft(truth, axis=0)))
    assert np.corrcoef(other.T) == pytest.approx(np.corrcoef(truth.T))
    assert abs(mean_r(other, truth)) < 0.6


def test_slow_noise_is_not_significant_and_signal_is():
    # Permutations would find "significance" in most pairs of slow series; turns do in 5 %.
    p = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        run = run_of(slow(200, 1, rng), slow(200, 1, rng))
        found = score_measure(run, measures_of(run)[0], CFG)
        assert found.n_permutations == 200
        assert "turns of the truth" in found.note
        p.append(found.p_value)
    # Of 40 at most 6 are expected below 0.05 with 99 % certainty.
    assert sum(one < 0.05 for one in p) <= 6
    rng = np.random.default_rng(0)
    truth = slow(200, 3, rng)
    run = run_of(truth + slow(200, 3, rng), truth)
    scores = {m.metric.name: score_measure(run, m, CFG) for m in measures_of(run)}
    assert scores["r"].value > 0.4
    assert scores["r"].p_value < 0.02
    assert scores["connectivity r"].p_value is None


def test_regions_that_are_decoded_are_told_from_others():
    rng = np.random.default_rng(4)
    truth = slow(400, 4, rng)
    output = slow(400, 4, rng)
    output[:, 0] += 2 * truth[:, 0]
    tests = region_tests(Series.of(run_of(output, truth)), CFG)
    # The least p of 200 turns is 1/201; of four regions q is four times that if it is the only one.
    assert tests[0] == pytest.approx((1 / 201, 4 / 201))
    assert all(q >= p for p, q in tests)
    assert sum(q < 0.05 for _, q in tests) == 1


def test_details_have_every_null():
    rng = np.random.default_rng(5)
    truth = slow(400, 2, rng)
    found = series_details(run_of(truth + slow(400, 2, rng), truth), CFG)
    assert [one["name"] for one in found["nulls"]] == [
        "turned",
        "random phases",
        "another subject's recording",
    ]
    for one in found["nulls"]:
        assert abs(one["mean"]) < 0.25
    assert [one["p"] for one in found["nulls"]][:2] == pytest.approx([1 / 201] * 2)
    assert len(found["outputs"]) == 2
