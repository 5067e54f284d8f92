"""A classifier of scikit-learn as the head of a stream.

It is given as an object, not as a file: the files that hold such classifiers are pickles, which run
what is in them.
"""

from typing import TYPE_CHECKING, Any

from brainfm.encoder import Features
from brainfm.frame_pooling import FramePooling, pool_frames

if TYPE_CHECKING:
    from brainfm.stream_decisions import Head


def classifier_head(classifier: Any, pooling: FramePooling = "moments") -> "Head":
    """Return a head that asks a classifier for the probability of each class.

    Parameters
    ----------
    classifier
        Fitted on features of trials (:class:`brainfm.brain_features.BrainFeatures`).
    pooling
        How those were pooled.

    Raises
    ------
    ValueError
        The classifier has no probabilities.
    """
    if not hasattr(classifier, "predict_proba"):
        raise ValueError(f"{type(classifier).__name__} has no probabilities (predict_proba)")
    names = [str(name) for name in classifier.classes_]

    def head(features: Features) -> dict[str, float]:
        (chances,) = classifier.predict_proba(pool_frames(features.values, pooling)[None])
        return {name: float(p) for name, p in zip(names, chances, strict=True)}

    return head
