"""Pictures that drive synthetic brains: rows of a table of features, one row a picture.

Shapes: N pictures, F features, K places in the brain, T samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainfm.sensors import FloatArray
from brainfm.simulation_config import SimulationConfig
from brainfm.synthetic_events import Presentation
from brainfm.trial_events import content_id

LOOK_S = 0.5
"""Longest time that a picture is shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """What every picture does to every place in the brain.

    Parameters
    ----------
    weights
        (N, K). The first place answers to every picture alike (1); the others to a random mixture
        of its features, with mean 0 and standard deviation 1 over the pictures.
    content_ids
        Hash of each picture's features.
    """

    weights: FloatArray
    content_ids: tuple[str, ...]


def read_pictures(
    path: str | Path, cfg: SimulationConfig, *, generator: np.random.Generator
) -> Pictures:
    """Read features (N, F) of an ``.npy`` file and draw how they mix.

    Raises
    ------
    ValueError, FileNotFoundError
        Missing, no table of numbers, fewer than two different rows.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of picture features {path}")
    try:
        stored = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as .npy: {error}") from error
    if not isinstance(stored, np.ndarray) or stored.ndim != 2 or stored.dtype.kind not in "fiu":
        raise ValueError(f"{path}: must hold one table of numbers (pictures, features)")
    features = np.asarray(stored, dtype=np.float64)
    if not np.isfinite(features).all():
        raise ValueError(f"{path}: holds numbers that are not finite")
    spread = features.std(axis=0) if len(features) else np.zeros(0)
    if len(features) < 2 or not (spread > 0).any():
        raise ValueError(f"{path}: needs at least two pictures with different features")
    varied = (features - features.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    mixed = varied @ generator.standard_normal((varied.shape[1], cfg.image_components))
    weights = np.column_stack([np.ones(len(mixed)), mixed / mixed.std(axis=0)])
    ids = tuple(content_id(row.tobytes()) for row in features)
    return Pictures(weights=weights, content_ids=ids)


def present_pictures(
    pictures: Pictures, cfg: SimulationConfig, *, generator: np.random.Generator
) -> list[Presentation]:
    """Show all pictures in a random order, again and again, one every ``soa`` s or 10 % later.

    The last one has a second left, so that its response is whole.
    """
    shown: list[Presentation] = []
    at, order = cfg.soa, list[int]()
    while at + 1.0 <= cfg.n_times / cfg.sfreq:
        order = order or generator.permutation(len(pictures.weights)).tolist()
        index = order.pop()
        shown.append(
            Presentation(
                onset=round(at * cfg.sfreq) / cfg.sfreq,
                duration=min(LOOK_S, cfg.soa),
                kind="image",
                stimulus=index,
                name=f"image-{index:05d}",
                content_id=pictures.content_ids[index],
            )
        )
        at += cfg.soa * generator.uniform(1.0, 1.1)
    return shown


def picture_drive(
    pictures: Pictures, shown: Sequence[Presentation], cfg: SimulationConfig
) -> FloatArray:
    """Return one impulse of area ``weight`` per picture and place, (K, T) per second."""
    drive = np.zeros((pictures.weights.shape[1], cfg.n_times))
    for event in shown:
        at = round(event.onset * cfg.sfreq)
        drive[:, at] += pictures.weights[event.stimulus] * cfg.sfreq
    return drive
