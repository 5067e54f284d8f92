"""Measures of retrieval: at which place of a gallery the right content is found.

A gallery holds every content once, however often it was presented. Items as similar as the right
one are in random order: every measure here is the expectation over those orders, so ties count one
half in a comparison of two.

Shapes: N queries, M gallery, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.decoding_metrics import SHARE, Metric
from brainfm.sensors import FloatArray


@dataclass(frozen=True, kw_only=True)
class RetrievalConfig:
    """Which measures of retrieval.

    Parameters
    ----------
    top
        k of top-k accuracy.
    ways
        n of n-way identification: the right one among n - 1 others.
    gallery_size
        Report top-k for galleries of so many contents, drawn at random (the exact mean over all
        draws); None: all there are.
    """

    top: tuple[int, ...] = (1, 5, 10)
    ways: tuple[int, ...] = (2, 10, 50)
    gallery_size: int | None = None

    def __post_init__(self) -> None:
        for k in self.top:
            if k < 1:
                raise ValueError(f"top must be whole numbers from 1, got {k}")
        for n in (*self.ways, *((self.gallery_size,) if self.gallery_size is not None else ())):
            if n < 2:
                raise ValueError(f"ways and gallery_size must be at least 2, got {n}")


class Gallery(NamedTuple):
    """``ids`` (M,) contents, sorted, each once; ``features`` (M, D) their features."""

    ids: NDArray[np.str_]
    features: FloatArray

    def places(self, ids: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
        """Return the place of contents in the gallery.

        Raises
        ------
        ValueError
            One is not in it.
        """
        place = {content: k for k, content in enumerate(self.ids.tolist())}
        missing = sorted({str(content) for content in ids} - set(place))
        if missing:
            raise ValueError(
                f"{len(missing)} contents are not in the gallery of {len(place)}, e.g. {missing[0]}"
            )
        return np.array([place[str(content)] for content in ids], dtype=np.int64)


def gallery_of(ids: Sequence[str] | NDArray[np.str_], features: NDArray[Any]) -> Gallery:
    """Return the gallery of presentations: the mean features (P, D) of each content."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(ids):
        raise ValueError(f"features {features.shape} are not one row for each of {len(ids)} ids")
    names, place, counts = np.unique(
        np.asarray(ids, dtype=np.str_), return_inverse=True, return_counts=True
    )
    total = np.zeros((len(names), features.shape[1]))
    np.add.at(total, place, features)
    return Gallery(names, total / counts[:, None])


def cosine(queries: NDArray[Any], gallery: Gallery) -> FloatArray:
    """Return the cosine of the angle between queries (N, D) and the gallery, (N, M)."""
    from sklearn.metrics.pairwise import cosine_similarity

    return np.asarray(cosine_similarity(queries, gallery.features), dtype=np.float64)


class Retrieval(NamedTuple):
    """A measure, and ``credit`` (N, M): what query n would get if item m were the right one.

    ``metric.compute(credit, places)`` is the measure; so a permutation of the places costs nothing.
    """

    metric: Metric
    credit: FloatArray


def retrieval_metrics(
    similarity: NDArray[Any], config: RetrievalConfig | None = None
) -> tuple[Retrieval, ...]:
    """Return top-k accuracy, n-way identification, mean reciprocal rank and median rank.

    Parameters
    ----------
    similarity
        (N, M) of every query to every content of the gallery.
    config
        Which k and n.

    Raises
    ------
    ValueError
        The gallery is smaller than a k, an n or the gallery size asked for; a similarity is NaN.
    """
    from scipy.stats import hypergeom

    cfg = config or RetrievalConfig()
    similarity = np.asarray(similarity, dtype=np.float64)
    if similarity.ndim != 2 or np.isnan(similarity).any():
        raise ValueError(f"similarity must be (N, M) without NaN, got {similarity.shape}")
    size = similarity.shape[1]
    _check_sizes(size, cfg)
    above, tied = _above_and_tied(similarity)
    ranks = np.arange(size)
    drawn = cfg.gallery_size or size
    among = "" if cfg.gallery_size is None else f" of {drawn}"

    def of_rank(name: str, credit: FloatArray) -> Retrieval:
        """Make a measure of what a place gets (M,); its chance is that of a random place."""
        return Retrieval(
            Metric(name=name, compute=_mean, chance=float(credit.mean()), limits=SHARE),
            _expected(credit, above, tied),
        )

    found = [
        of_rank(f"top-{k}{among}", hypergeom.cdf(k - 1, size - 1, ranks, drawn - 1))
        for k in cfg.top
    ]
    found += [of_rank(f"{n}-way", hypergeom.pmf(0, size - 1, ranks, n - 1)) for n in cfg.ways]
    found.append(of_rank("mean reciprocal rank", 1 / (ranks + 1)))
    median = Metric(
        name="median rank",
        compute=_median,
        chance=(size + 1) / 2,
        higher_is_better=False,
        limits=(1.0, np.inf),
    )
    return (*found, Retrieval(median, 1 + above + tied / 2))


def _check_sizes(size: int, cfg: RetrievalConfig) -> None:
    drawn = cfg.gallery_size or size
    if size < 2 or drawn > size:
        raise ValueError(f"a gallery of {max(2, drawn)} contents is asked for, this has {size}")
    for what, number, there in (
        *((f"top-{k}", k, drawn) for k in cfg.top),
        *((f"{n}-way", n, size) for n in cfg.ways),
    ):
        if number > there:
            raise ValueError(
                f"{what} needs a gallery of at least {number} contents, this one has {there}; ask "
                "for less"
            )


def _above_and_tied(similarity: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for every item how many others are more, and how many as similar: (N, M) each."""
    from scipy.stats import rankdata

    best = rankdata(-similarity, method="min", axis=1).astype(np.int64)
    worst = rankdata(-similarity, method="max", axis=1).astype(np.int64)
    return best - 1, worst - best


def _expected(credit: FloatArray, above: NDArray[np.int64], tied: NDArray[np.int64]) -> FloatArray:
    """Return the mean credit (M,) over the places that an item may get, (N, M)."""
    total = np.concatenate([[0.0], np.cumsum(credit)])
    return (total[above + tied + 1] - total[above]) / (tied + 1)


def _mean(credit: NDArray[Any], place: NDArray[Any]) -> float:
    return float(credit[np.arange(len(place)), place].mean())


def _median(rank: NDArray[Any], place: NDArray[Any]) -> float:
    return float(np.median(rank[np.arange(len(place)), place]))
