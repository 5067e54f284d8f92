"""The benchmark of exported graphs: its trials, and how a loss is counted."""

import importlib
from collections import Counter

import numpy as np
import pytest


@pytest.fixture
def benchmark(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return importlib.import_module("export")


def test_a_loss_is_that_of_accuracy_in_points_with_an_interval_around_it(benchmark):
    reference = np.ones(200)
    worse = reference.copy()
    worse[:20] = 0
    assert benchmark.lost(reference, reference) == "1.000 | 0.0 [0.0, 0.0]"
    accuracy, loss = benchmark.lost(worse, reference).split(" | ")
    low, high = map(float, loss.split("[")[1].rstrip("]").split(","))
    assert (accuracy, loss.split()[0]) == ("0.900", "10.0")
    assert 5 < low < 10 < high < 15


def test_bundled_trials_are_balanced_in_every_stretch(benchmark):
    trials = list(benchmark.bundled_trials())
    counts = Counter((label, group) for _, _, _, label, group in trials)
    for k in range(benchmark.STRETCHES):
        assert counts["open", str(k)] == counts["closed", str(k)] > 0
    assert {end - begin for _, begin, end, _, _ in trials} == {benchmark.PIECE_S}
