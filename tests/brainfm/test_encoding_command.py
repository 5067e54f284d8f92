"""'brainfm encoding' finds planted responses where they are, and nothing in shuffled ones."""

import json

import numpy as np
import pytest

from brainfm.cli import main

N, P, T, Q = 80, 5, 3, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two layers; at time 0 nothing, at 1 the early one, at 2 the late one."""
    folder, rng = tmp_path_factory.mktemp("encoding"), np.random.default_rng(0)
    early, late = rng.standard_normal((2, N, P))
    signal = np.zeros((N, T, Q))
    signal[:, 1], signal[:, 2] = (x @ rng.standard_normal((P, Q)) for x in (early, late))
    repeats = signal + rng.standard_normal((4, N, T, Q))
    np.savez(folder / "features.npz", early=early, late=late)
    np.save(folder / "repeats.npy", repeats)
    np.save(folder / "mean.npy", repeats.mean(0))
    np.save(folder / "folds.npy", np.arange(N) % 4)
    np.save(folder / "times.npy", np.array([0.0, 0.1, 0.2]))
    return folder


def numbers(folder, out, responses, *more):
    words = [str(folder / "features.npz"), str(folder / responses), "--out", str(out), *more]
    assert main(["encoding", *words, "--folds", str(folder / "folds.npy")]) == 0
    return json.loads((out / "encoding.json").read_text())


def test_layers_and_times_are_found_under_their_ceiling(folder, tmp_path):
    found = numbers(
        folder, tmp_path, "repeats.npy", "--repeated", "--times", str(folder / "times.npy")
    )
    assert found["layers"] == ["early", "late"]
    assert found["times"] == [0.0, 0.1, 0.2]
    r = np.array(found["r"])
    assert r[[0, 1], [1, 2]].min() > 0.8
    assert np.abs(r[[0, 0, 1, 1], [0, 2, 0, 1]]).max() < 0.35
    ceiling = np.array(found["ceiling"])
    assert (ceiling[1:] > 0.9).all()
    assert ceiling[0] < 0.5
    assert abs(found["scores"]["early"]["r shuffled"]) < 0.2
    assert found["scores"]["early"]["two-versus-two"] > 0.8
    assert (tmp_path / "encoding.png").read_bytes().startswith(b"\x89PNG")


def test_bands_explain_both_times_together(folder, tmp_path):
    found = numbers(folder, tmp_path, "mean.npy", "--method", "banded")
    assert found["layers"] == ["all layers"]
    assert min(found["r"][0][1:]) > 0.8
    assert found["ceiling"] is None


def test_few_shots_are_judged_beside_ridge_and_shuffled_pairs(folder, tmp_path, capsys):
    found = numbers(
        folder, tmp_path, "mean.npy", "--method", "few_shot", "--shots", "12", "--steps", "40"
    )
    assert set(found["scores"]) == {"few_shot", "ridge", "few_shot, pairs shuffled"}
    # A third of the targets are noise; the others are alike across targets.
    assert found["scores"]["few_shot"]["r"] > found["scores"]["few_shot, pairs shuffled"]["r"] + 0.1
    assert (tmp_path / "few_shot.safetensors").is_file()
    assert "ridge: r 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.npz", "mean.npy"], "no file"),
        (["features.npz", "repeats.npy"], "must be (N, Q) or (N, T, Q)"),
        (["features.npz", "features.npz"], "must be .npy files"),
        (["folds.npy", "mean.npy"], "features must be tables with a row for each of 80"),
        (["features.npz", "mean.npy", "--n-folds", "1"], "at least 2"),
        (["features.npz", "mean.npy", "--times", "folds.npy"], "(80,) times for responses at 3"),
        (["features.npz", "mean.npy", "--method", "few_shot", "--shots", "60"], "from 3 to 32"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(words, message, folder, tmp_path, capsys):
    words = [str(folder / word) if "." in word else word for word in words]
    assert main(["encoding", *words, "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
