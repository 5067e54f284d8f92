"""Scores of a linear probe: chosen on the groups with labels, looked at once on the others."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from feature_probe import Trial

PENALTIES = (0.001, 0.01, 0.1)
RESAMPLES = 4000
Matrix = np.ndarray
Penalties = tuple[float, ...]
Spaces = dict[str, Matrix]
"""Features of all trials of a task, (trials, F), by layer and pooling."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Labelled trials, which groups are tested by labels of which others, and their poolings."""

    name: str
    trials: list[Trial]
    folds: list[tuple[list[str], list[str]]]
    options: dict[str, Any]
    poolings: tuple[str, ...] = ()


def predict(x: Matrix, y: Matrix, train: Matrix, test: Matrix, penalties: Penalties) -> Matrix:
    """Return the predicted labels of the test trials, (penalties, trials)."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A rotation into the span of the training trials: the same solution in fewer unknowns.
    rotate = make_pipeline(StandardScaler(), PCA(svd_solver="full"))
    known, asked = rotate.fit_transform(x[train]), rotate.transform(x[test])
    fits = [LogisticRegression(C=c, max_iter=2000).fit(known, y[train]) for c in penalties]
    return np.stack([fit.predict(asked) for fit in fits])


def balanced(right: Matrix, y: Matrix, groups: Matrix) -> float:
    """Return the mean over groups of the mean over classes of the share of right answers."""
    return float(np.mean(list(cell_means(right, y, groups, lambda cell: cell.mean()).values())))


def cell_means(
    right: Matrix, y: Matrix, groups: Matrix, mean: Callable[[Matrix], Any]
) -> dict[str, Any]:
    """Return for every group the mean over classes of ``mean`` of a class's answers."""
    found = {}
    for g in np.unique(groups):
        classes = np.unique(y[groups == g])
        found[str(g)] = sum(mean(right[(groups == g) & (y == c)]) for c in classes) / len(classes)
    return found


Choice = tuple[str, float]
"""Space and penalty of a fold."""


def choose(spaces: Spaces, task: Task) -> list[Choice]:
    """Return what is best for each fold when each group with labels is left out in turn."""
    y, groups = labels_of(task)
    chosen = []
    for labelled, _ in task.folds:
        scores: dict[Choice, float] = {}
        for name, x in spaces.items():
            inner = []
            for left in labelled:
                test = groups == left
                train = np.isin(groups, labelled) & ~test
                found = predict(x, y, train, test, PENALTIES) == y[test]
                inner.append([balanced(row, y[test], groups[test]) for row in found])
            for penalty, score in zip(PENALTIES, np.mean(inner, axis=0), strict=True):
                scores[name, penalty] = float(score)
        chosen.append(max(scores, key=lambda key: scores[key]))
    return chosen


def right_answers(spaces: Spaces, task: Task, choices: list[Choice]) -> Matrix:
    """Return which tested trials are right, in the order of all; NaN for those not tested."""
    y, groups = labels_of(task)
    right = np.full(len(y), np.nan)
    for (labelled, tested), (name, penalty) in zip(task.folds, choices, strict=True):
        train, test = np.isin(groups, labelled), np.isin(groups, tested)
        right[test] = predict(spaces[name], y, train, test, (penalty,))[0] == y[test]
    return right


def labels_of(task: Task) -> tuple[Matrix, Matrix]:
    """Return labels and groups of all trials."""
    return np.array([t[3] for t in task.trials]), np.array([t[4] for t in task.trials])


def estimate(right: Matrix, task: Task) -> dict[str, Any]:
    """Return the balanced accuracy of answers, or of their difference, and its interval.

    Trials are drawn with repeats within every tested group and class.
    """
    tested = np.isfinite(right)
    y, groups = (values[tested] for values in labels_of(task))
    rng = np.random.default_rng(0)

    def drawn_means(cell: Matrix) -> Matrix:
        return rng.choice(cell, (RESAMPLES, len(cell))).mean(1)

    drawn = np.mean(list(cell_means(right[tested], y, groups, drawn_means).values()), axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    each = cell_means(right[tested], y, groups, lambda cell: float(cell.mean()))
    value = float(np.mean(list(each.values())))
    return {"value": value, "low": float(low), "high": float(high), "groups": each}


class Scores:
    """Estimates of every kind of features of a task, printed as they come."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.choices: dict[str, list[list[Choice]]] = {}
        chance = 1 / len(np.unique(labels_of(task)[0]))
        self.results: dict[str, Any] = {"chance": chance, "kinds": {}, "differences": {}}

    def add(self, kind: str, right: Matrix, chosen: list[list[Choice]]) -> None:
        """Take the answers of a kind; the first kind is what the others are compared with."""
        self.choices[kind] = chosen
        if not self.results["kinds"]:
            self.first = right
            self.results["n_tested"] = int(np.isfinite(right).sum())
        else:
            gap = estimate(self.first - right, self.task)
            self.results["differences"][kind] = gap
        score = estimate(right, self.task) | {"chosen": chosen}
        self.results["kinds"][kind] = score
        less = (
            f"   less by {text_of(gap, sign=True)}" if kind in self.results["differences"] else ""
        )
        print(f"{self.task.name:<22}{kind:<36}{text_of(score)}{less}", flush=True)
        for choices in chosen[:3]:
            shown = "; ".join(f"{name}, C {penalty:g}" for name, penalty in choices)
            print(f"{'':<58}chosen: {shown}", flush=True)


def text_of(found: dict[str, float], *, sign: bool = False) -> str:
    value = f"{found['value']:{'+' if sign else ''}.3f}"
    return f"{value} [{found['low']:.3f}, {found['high']:.3f}]"
