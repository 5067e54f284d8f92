"""The detector of benchmarks/ssvep_fidelity.py: what it finds, and how its loss is counted."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SFREQ = 256.0


@pytest.fixture(scope="module")
def bench(root: Path) -> ModuleType:
    path = root / "benchmarks" / "ssvep_fidelity.py"
    spec = importlib.util.spec_from_file_location("ssvep_fidelity", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_canonical_correlation_is_the_cosine_between_the_spaces(bench: ModuleType) -> None:
    t = np.arange(512) / SFREQ
    sine, cosine = np.sin(2 * np.pi * 8 * t), np.cos(2 * np.pi * 8 * t)
    other = np.sin(2 * np.pi * 20 * t)
    plane = np.stack([sine, cosine])
    # 30 degrees of phase lie in the plane; half of the power in another sine is 45 degrees off it.
    shifted = np.sin(2 * np.pi * 8 * t + np.pi / 6)
    assert bench.canonical_correlation(shifted[None], plane) == pytest.approx(1)
    mixed = (shifted + other)[None]
    assert bench.canonical_correlation(mixed, plane) == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert bench.canonical_correlation(other[None], plane) == pytest.approx(0, abs=1e-6)
    assert bench.canonical_correlation(np.zeros((3, 512)), plane) == 0


def test_the_frequency_of_a_trial_is_found(bench: ModuleType) -> None:
    rng = np.random.default_rng(0)
    n, labels = 1280, np.array([2, 3, 4, 3])
    x = rng.standard_normal((8, len(labels) * n))
    for k, label in enumerate(labels):
        part = slice(k * n, (k + 1) * n)
        x[:3, part] += np.sin(2 * np.pi * bench.FREQUENCIES[label] * np.arange(n) / SFREQ + k)
    scores = bench.detect(x, SFREQ, np.arange(len(labels)) * n, n)
    assert scores.shape == (4, 3)
    assert bench.three_classes(scores).tolist() == labels.tolist()


def test_the_loss_is_paired_and_every_person_counts_alike(bench: ModuleType) -> None:
    first = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], bool)  # loses one of four
    second = np.array([[1, 0], [1, 0]], bool)  # loses nothing
    value, edges = bench.interval([first, second])
    assert value == pytest.approx([0.75, 0.625, 0.125])
    same, nothing = bench.interval([second, second])
    assert same[2] == 0
    assert nothing[2] == [0, 0]  # the same trials before and after: the loss cannot vary
    assert edges[2][0] >= 0
