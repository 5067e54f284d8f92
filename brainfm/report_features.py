"""Pictures of features over time: what changes when, and which moments resemble each other.

Shapes: E epochs, P frames, N sources, D width.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from brainfm.report_style import SIGNED_MAP, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_FRAMES = 1200
N_COMPONENTS = 3
COLOURS = ("#0072B2", "#D55E00", "#009E73")


class PooledFeatures(NamedTuple):
    """Features averaged over sources: ``values`` (P, D), ``times`` (P,) s, ``source`` file name.

    ``shape`` is the whole file's, ``epochs`` true if it is of epochs and this is the first.
    """

    values: NDArray[np.float64]
    times: NDArray[np.float64]
    source: str
    shape: tuple[int, ...]
    epochs: bool


def read_pooled(path: Path, max_frames: int = MAX_FRAMES) -> PooledFeatures:
    """Read the beginning of what ``brainfm encode`` wrote, averaged over sources.

    Raises
    ------
    ValueError
        The file has no features, or of another shape.
    """
    with h5py.File(path, "r") as file:
        if not {"values", "times"} <= set(file):
            raise ValueError(f"{path} holds no features; 'brainfm encode' writes them")
        values = file["values"]
        epochs = values.ndim == 4
        if values.ndim not in (3, 4) or not values.size:
            raise ValueError(f"{path}: values have shape {values.shape}, expected (P, N, D)")
        part = values[0, :max_frames] if epochs else values[:max_frames]
        return PooledFeatures(
            part.astype(np.float64).mean(axis=1),
            file["times"][:max_frames].astype(np.float64),
            str(file.attrs.get("source", "")),
            tuple(values.shape),
            epochs,
        )


def similarity(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine (P, P) between all frames of (P, D) after subtracting the mean frame."""
    centred = values - values.mean(0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(norms > 0, norms, 1)
    return unit @ unit.T


def principal_components(
    values: NDArray[np.float64], n: int = N_COMPONENTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first components over time (P, n) and their shares of the variance (n,)."""
    left, size, right = np.linalg.svd(values - values.mean(0), full_matrices=False)
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    total = (size**2).sum()
    shares = size**2 / total if total > 0 else np.zeros_like(size)
    return (left * size * sign)[:, :n], shares[:n]


def feature_figure(features: PooledFeatures) -> "Figure":
    """Draw the first principal components over time and the similarity of all moments."""
    components, shares = principal_components(features.values)
    times = features.times
    with new_figure(4.6) as figure:
        grid = figure.add_gridspec(components.shape[1], 2, width_ratios=[1.45, 1])
        first = None
        for k, share in enumerate(shares):
            axes = figure.add_subplot(grid[k, 0], sharex=first)
            first = first or axes
            axes.plot(times, components[:, k], color=COLOURS[k], lw=1.2)
            axes.set_ylabel(f"PC {k + 1}\n({share:.0%})")
            axes.margins(x=0)
            if k == 0:
                axes.set_title("principal components over time (share of the variance)")
            if k < len(shares) - 1:
                axes.tick_params(labelbottom=False)
        axes.set_xlabel("time in the recording (s)")
        square = figure.add_subplot(grid[:, 1])
        step = times[1] - times[0] if len(times) > 1 else 1.0
        low, high = times[0] - step / 2, times[-1] + step / 2
        image = square.imshow(
            similarity(features.values),
            cmap=SIGNED_MAP,
            vmin=-1,
            vmax=1,
            interpolation="nearest",
            extent=(low, high, high, low),
        )
        square.set_title("similarity of moments")
        square.set_xlabel("time (s)")
        square.set_ylabel("time (s)")
        figure.colorbar(image, ax=square, label="cosine, mean frame removed", fraction=0.045)
    return figure
