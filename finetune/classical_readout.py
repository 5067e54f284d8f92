"""Linear readouts of features: one candidate for every penalty.

Shapes: N trials, F features, M things to decode, G of them in a gallery, O outputs.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .head import Kind
from .targets import Targets

Array = NDArray[Any]
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse penalties of the logistic regression on standardised features, strongest first."""
PENALTIES = (1e4, 1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2)
"""Of ridge, times the number of trials, on standardised features."""
MAX_OUTPUTS = 4096
"""Features of a stimulus over time are averaged over time if there are more."""


class Readout(ABC):
    """From features (N, F) to predictions."""

    kind: ClassVar[Kind]

    @abstractmethod
    def fit(self, x: Array, rows: NDArray[np.int64]) -> "Readout":
        """Learn from training trials."""

    @abstractmethod
    def predict(self, x: Array, gallery: NDArray[np.int64]) -> Array:
        """Return predictions as :class:`~.predictions.Predictions` has them."""

    @abstractmethod
    def score(self, x: Array, rows: NDArray[np.int64]) -> float:
        """Return how good it is; more is better."""


class ClassReadout(Readout):
    """Probabilities of classes, by logistic regression or Fisher's discriminant.

    Parameters
    ----------
    n_classes
        M; classes without a training trial have probability 0.
    strength
        Inverse penalty of the logistic regression; None: discriminant with shrunk covariance.
    """

    kind = "classes"

    def __init__(self, n_classes: int, strength: float | None) -> None:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.n_classes = n_classes
        if strength is None:
            last: Any = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        else:
            last = LogisticRegression(C=strength, class_weight="balanced", max_iter=3000)
        self.model = make_pipeline(StandardScaler(), last)

    def fit(self, x: Array, rows: NDArray[np.int64]) -> "ClassReadout":
        """Learn from training trials."""
        self.model.fit(x, rows)
        return self

    def predict(self, x: Array, gallery: NDArray[np.int64]) -> Array:
        """Return probabilities (N, M)."""
        found = np.zeros((len(x), self.n_classes), np.float32)
        found[:, self.model.classes_] = self.model.predict_proba(x)
        return found

    def score(self, x: Array, rows: NDArray[np.int64]) -> float:
        """Return the balanced accuracy, and less than a tenth of a trial for sureness."""
        from sklearn.metrics import balanced_accuracy_score

        found = self.predict(x, rows)
        right = float(found[np.arange(len(rows)), rows].mean())
        return float(balanced_accuracy_score(rows, found.argmax(1))) + 0.1 * right / len(rows)


class ValueReadout(Readout):
    """Values by ridge regression.

    Parameters
    ----------
    values
        (M, O) of everything that can be decoded.
    penalty
        Times the number of trials.
    """

    kind: ClassVar[Kind] = "values"

    def __init__(self, values: Array, penalty: float) -> None:
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.values, self.penalty = values.reshape(len(values), -1).astype(np.float64), penalty
        self.shape = values.shape[1:]
        self.model = make_pipeline(StandardScaler(), Ridge())

    def fit(self, x: Array, rows: NDArray[np.int64]) -> "ValueReadout":
        """Learn from training trials; outputs are standardised with what they show."""
        y = self.values[rows]
        spread = y.std(0)
        self.mean, self.spread = y.mean(0), np.where(spread > 0, spread, 1.0)
        self.model.set_params(ridge__alpha=self.penalty * len(rows))
        self.model.fit(x, (y - self.mean) / self.spread)
        return self

    def _standardised(self, x: Array) -> Array:
        """Return outputs (N, O) of mean 0 and deviation 1 over the training trials."""
        return np.asarray(self.model.predict(x)).reshape(len(x), -1)

    def predict(self, x: Array, gallery: NDArray[np.int64]) -> Array:
        """Return values (N, ...), in their own units."""
        found = self._standardised(x) * self.spread + self.mean
        return found.reshape(len(x), *self.shape).astype(np.float32)

    def score(self, x: Array, rows: NDArray[np.int64]) -> float:
        """Return less the mean squared error of standardised outputs."""
        truth = (self.values[rows] - self.mean) / self.spread
        return -float(np.square(self._standardised(x) - truth).mean())


class RetrievalReadout(ValueReadout):
    """Features of stimuli by ridge regression, compared with a gallery."""

    kind = "retrieval"

    def predict(self, x: Array, gallery: NDArray[np.int64]) -> Array:
        """Return the cosine (N, G) with the standardised features of the gallery."""
        query, things = self._standardised(x), (self.values[gallery] - self.mean) / self.spread
        return (_unit(query) @ _unit(things).T).astype(np.float32)

    def score(self, x: Array, rows: NDArray[np.int64]) -> float:
        """Return the mean share of other contents that are less similar than the right one."""
        gallery, place = np.unique(rows, return_inverse=True)
        found = self.predict(x, gallery)
        right = found[np.arange(len(rows)), place][:, None]
        return float(((found < right) + 0.5 * (found == right)).mean())


def _unit(x: Array) -> Array:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def readouts(kind: str, targets: Targets, *, discriminant: bool) -> list[Readout]:
    """Return the candidates for a kind of targets, strongest penalty first."""
    if kind == "classes":
        strengths: tuple[float | None, ...] = (None,) if discriminant else STRENGTHS
        return [ClassReadout(len(targets.ids), strength) for strength in strengths]
    assert targets.values is not None
    if kind == "values":
        return [ValueReadout(targets.values, penalty) for penalty in PENALTIES]
    values = targets.values
    if values.ndim > 2 and values[0].size > MAX_OUTPUTS:
        values = values.mean(1)
    return [RetrievalReadout(values, penalty) for penalty in PENALTIES]
