"""How far output moves when the array does: nothing for no change, everything accounted for."""

import dataclasses

import numpy as np
import pytest

from brainfm import geometry_drift
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.fidelity import WindowGrid
from brainfm.geometry_drift import (
    CHANGES,
    DRIFT_GRID,
    Placed,
    measure_drift,
    rotated,
    shifted,
    thinned,
)

GRID = WindowGrid(max_windows=4, run=2)


@pytest.fixture(scope="module")
def corpus(noise_corpus, tmp_path_factory):
    return Corpus(noise_corpus(tmp_path_factory.mktemp("corpus")))


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return Encoder(tiny_model())


def unchanged(sensors, rng):
    return Placed(sensors.positions, sensors.orientations, np.ones(len(sensors), bool))


def test_no_change_moves_nothing(encoder, corpus):
    (row,) = measure_drift(encoder, corpus, 0, grid=GRID, changes={"none": unchanged})
    assert row.latent_distance == row.feature_distance == 0
    assert 0 < row.latent_spread < 2
    assert 0 < row.feature_spread < 2
    assert row.codes_changed == (0.0, 0.0)
    assert row.reconstruction_correlation == pytest.approx(1.0, abs=1e-5)
    assert row.fidelity == pytest.approx(row.fidelity_before, abs=1e-7)
    assert (row.recording, row.n_windows, row.n_draws) == ("rec0", 4, 3)


def test_every_change_is_measured_and_the_seed_decides(encoder, corpus):
    rows = measure_drift(encoder, corpus, 1, grid=GRID, n_draws=2)
    assert [row.change for row in rows] == list(CHANGES)
    for row in rows:
        assert 0 < row.latent_distance <= 2
        assert 0 < row.feature_distance <= 2
        assert len(row.codes_changed) == 2
        assert all(0 <= share <= 1 for share in row.codes_changed)
        assert -1 <= row.reconstruction_correlation < 1
    again = measure_drift(encoder, corpus, 1, grid=GRID, n_draws=2)
    assert [dataclasses.astuple(row) for row in rows] == [dataclasses.astuple(r) for r in again]


@pytest.mark.parametrize("causal", [False, True])
def test_parts_forget_nothing(tiny_model, corpus, monkeypatch, causal):
    """Windows are taken some at a time, which a causal tokenizer must not notice."""
    encoder = Encoder(tiny_model(masked=None, causal=causal))
    whole = measure_drift(encoder, corpus, 0, grid=GRID, n_draws=2)
    monkeypatch.setattr(geometry_drift, "CHANNEL_WINDOWS", 1)
    parts = measure_drift(encoder, corpus, 0, grid=GRID, n_draws=2)
    for one, other in zip(whole, parts, strict=True):
        assert one.codes_changed == other.codes_changed
        assert one.latent_distance == pytest.approx(other.latent_distance, abs=1e-5)


def test_the_larger_the_shift_the_larger_the_drift(encoder, corpus):
    changes = {str(size): shifted(size) for size in (1e-5, 1e-3, 3e-2)}
    found = measure_drift(encoder, corpus, 0, grid=GRID, changes=changes)
    distances = [row.latent_distance for row in found]
    assert distances == sorted(distances)
    assert distances[0] < 0.01 * distances[-1]


def test_without_masked_model_there_are_no_features(tiny_model, corpus):
    encoder = Encoder(tiny_model(masked=None))
    rows = measure_drift(encoder, corpus, 0, grid=GRID, n_draws=1)
    assert all(row.feature_distance is row.feature_spread is None for row in rows)


def test_what_the_changes_do(head_sensors):
    sensors, rng = head_sensors(["mag"] * 6), np.random.default_rng(0)
    moved = shifted(0.005)(sensors, rng).positions - sensors.positions
    assert np.linalg.norm(moved, axis=1) == pytest.approx(0.005)
    turned = rotated(10.0)(sensors, rng)
    assert np.linalg.norm(turned.orientations, axis=1) == pytest.approx(1.0)
    inner = (turned.positions * turned.orientations).sum(1)
    assert inner == pytest.approx((sensors.positions * sensors.orientations).sum(1))
    angles = [
        np.degrees(np.arccos(np.clip((a @ b) / (a @ a), -1, 1)))
        for a, b in zip(sensors.positions, turned.positions, strict=True)
    ]
    assert 0 < max(angles) <= 10.0 + 1e-6
    assert thinned(0.5)(sensors, rng).seen.sum() == 3
    assert thinned(0.99)(sensors.select([0]), rng).seen.sum() == 1


def test_a_recording_without_clean_windows(encoder, corpus, monkeypatch):
    monkeypatch.setattr("brainfm.geometry_drift.choose_pieces", lambda *args: [])
    assert measure_drift(encoder, corpus, 0) == []
    with pytest.raises(ValueError, match="n_draws must be at least 1, got 0"):
        measure_drift(encoder, corpus, 0, grid=DRIFT_GRID, n_draws=0)
