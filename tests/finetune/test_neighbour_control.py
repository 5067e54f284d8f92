from types import SimpleNamespace

import numpy as np
import pytest
from brainfm.finetune import neighbour_control, run_data
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.measures import measures_of
from brainfm.finetune.neighbour_control import as_predictions, nearest_windows, run_neighbour
from brainfm.finetune.targets import Targets

C, T = 3, 20


def drawn(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, C, T)).astype(np.float32)


def test_the_nearest_window_is_the_most_correlated_one(monkeypatch):
    x = drawn(30)
    # Louder, with other offsets, a little noise: 20 to 29 are 3, 4, .. again.
    x[20:] = 7 * x[3:13] + np.arange(C)[:, None] + 0.1 * drawn(10, 1)
    train, trials = np.arange(20)[::-1], np.arange(20, 30)
    expected = trials - 17
    assert (train[nearest_windows(lambda k: x[k], trials, train)] == expected).all()
    # The same in parts.
    monkeypatch.setattr(neighbour_control, "ROWS_AT_ONCE", 3)
    assert (train[nearest_windows(lambda k: x[k], trials, train)] == expected).all()


def test_windows_without_variation_are_near_to_nothing():
    x = drawn(4)
    x[0], x[3] = 5.0, 0.0
    found = nearest_windows(lambda k: x[k], np.array([2, 3]), np.array([0, 2]))
    assert found[0] == 1
    assert found[1] in (0, 1)


def test_a_text_and_values_are_those_of_the_neighbour(make_run):
    like = load_run(make_run(kind="values")).folds[0]
    rows = np.zeros(len(like.trial), dtype=np.int64)
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    targets = Targets(ids=np.array(["a", "b"]), rows=rows, values=values)
    assert (as_predictions("values", targets, rows, like).output == [1.0, 2.0, 3.0]).all()
    symbols = Targets(
        ids=np.array(["x", "y"]),
        rows=rows,
        values=np.array([[1, 2, 2], [2, 1, 0]]),
        lengths=np.array([3, 2]),
        alphabet=("a", "b"),
    )
    assert set(as_predictions("text", symbols, rows + 1, like).output) == {"ba"}


@pytest.mark.parametrize(("kind", "planted"), [("classes", 1.0), ("retrieval", 1.0),
                                               ("classes", 0.0)])  # fmt: skip
def test_it_finds_what_windows_of_a_kind_have_in_common(
    make_run, monkeypatch, tmp_path, kind, planted
):
    path = make_run(kind=kind, effect=0.0, contents=12)
    run = load_run(path)
    fold = run.split.folds
    order = np.concatenate([f.trial for f in run.folds])
    rows = np.zeros(len(order), dtype=np.int64)
    rows[order] = np.concatenate([f.target for f in run.folds])
    x = drawn(len(rows)) + 3 * planted * drawn(12, 5)[rows]
    features = 50 + np.random.default_rng(2).standard_normal((12, 4, 3)).astype(np.float32)

    class Data:
        trials = SimpleNamespace(recordings={})
        targets = Targets(ids=np.array(run.record.ids), rows=rows, values=features)

        def __init__(self, fold):
            self.fold = fold

        def indices(self, side):
            return fold[self.fold].indices(side)

        def windows(self, trials):
            return x[trials]

    monkeypatch.setattr(run_data, "load_data", lambda run, fold: Data(fold))
    made = load_run(run_neighbour(path, tmp_path / "neighbour"))
    assert made.identity == run.identity
    assert made.record.control == "nearest_neighbour"
    main = measures_of(made)[0]
    value = main.metric.compute(main.prediction, main.target)
    if planted:
        assert value == pytest.approx(1.0)
    else:
        assert abs(value - main.metric.chance) < 0.1


def test_patterns_of_voxels_keep_their_mean():
    rng = np.random.default_rng(0)
    patterns = np.repeat(rng.standard_normal((3, 5, 1)), 2, axis=2)
    held = np.concatenate([patterns, patterns + 0.1 * rng.standard_normal(patterns.shape)])
    windows = lambda trials: held[trials]  # noqa: E731
    queries, train = np.array([3, 4, 5]), np.array([2, 0, 1])
    assert nearest_windows(windows, queries, train, centred=False).tolist() == [1, 2, 0]
