"""Series of voxels as patterns: where voxels lie, what is taken out of a run, when blocks were.

Nothing here looks at conditions: a run is cleaned with what it holds itself, so that what is made
of one run says nothing of another.

Shapes: V volumes, R voxels or regions, F confounds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.bold import Image, clean_confounds, loaded
from brainfm.sensors import FloatArray
from brainfm.trial_events import Event

BRIGHT = 0.5
"""A voxel of the head is brighter than this share of the brightest ones (98th percentile)."""
BRIGHTEST = 98.0


def standardised_run(
    series: NDArray[Any], *, drift: int = 1, confounds: NDArray[Any] | None = None
) -> FloatArray:
    """Return the series (V, R) of a run with mean 0 and deviation 1, without slow drifts.

    Parameters
    ----------
    series
        As acquired.
    drift
        Degree of the polynomial in time that is taken out; 0 is the mean alone.
    confounds
        (V, F), movement for example, regressed out with it.

    Raises
    ------
    ValueError
        Values that are not finite; fewer volumes than the fit needs; a negative degree.
    """
    x = np.asarray(series, dtype=np.float64)
    if drift < 0:
        raise ValueError(f"drift must be a degree, 0 or more, got {drift}")
    if not np.isfinite(x).all():
        raise ValueError("the run holds values that are not finite")
    extra = clean_confounds(confounds, len(x))
    columns = [np.linspace(-1, 1, len(x)) ** k for k in range(drift + 1)]
    design = np.column_stack(columns if extra is None else [*columns, extra - extra.mean(axis=0)])
    if len(x) < design.shape[1] + 2:
        raise ValueError(
            f"{len(x)} volumes are too few to take out a drift of degree {drift} and "
            f"{design.shape[1] - drift - 1} confounds"
        )
    rest = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
    deviation = rest.std(axis=0)
    # What is left of a constant voxel is rounding, and must not be blown up.
    moves = deviation > 1e-9 * np.abs(x).max(axis=0, initial=1e-12)
    return np.asarray(np.where(moves, rest / np.where(moves, deviation, 1), 0.0))


def bright_voxels(images: Sequence[Image]) -> Any:
    """Return a mask image of the voxels that are bright in the mean of some runs.

    Their count is that of the head and little else; a mask of the brain is better where there is
    one.

    Raises
    ------
    ValueError
        The images have different grids, or nothing in them.
    """
    import nibabel

    first, total = None, np.zeros(0)
    for image in images:
        bold = loaded(image, "BOLD", dims=(4,))
        mean = np.asanyarray(bold.dataobj).mean(axis=3, dtype=np.float64)
        if first is None:
            first, total = bold, mean
        elif bold.shape[:3] != first.shape[:3] or not np.allclose(
            bold.affine, first.affine, atol=1e-3
        ):
            raise ValueError(
                f"runs of one person have different grids ({first.shape[:3]} and "
                f"{bold.shape[:3]}): register them, or give a mask for each"
            )
        else:
            total = total + mean
    if first is None or not np.isfinite(total).all() or not (total > 0).any():
        raise ValueError("the images are empty: there is no voxel to decode from")
    inside = total > BRIGHT * np.percentile(total[total > 0], BRIGHTEST)
    return nibabel.Nifti1Image(inside.astype(np.uint8), first.affine)


def voxel_places(mask: Image) -> tuple[tuple[str, ...], FloatArray]:
    """Return names ("12-5-0", by index) and positions (R, 3) in m of the voxels of a mask.

    In the order of :func:`brainfm.bold.voxel_series`; positions are in the space of the image.
    """
    image = loaded(mask, "mask", dims=(3,))
    index = np.argwhere(np.asanyarray(image.dataobj) != 0)
    millimetres = index @ image.affine[:3, :3].T + image.affine[:3, 3]
    names = tuple("-".join(map(str, row)) for row in index.tolist())
    return names, np.asarray(millimetres / 1000, dtype=np.float64)


def condition_events(path: str | Path, name: str) -> list[Event]:
    """Return the blocks of a condition from a table of FSL: onset, duration in s, and a weight.

    Parameters
    ----------
    path
        Three columns (at least two) separated by white space; rows of weight 0 are none.
    name
        Of the condition.

    Raises
    ------
    ValueError, FileNotFoundError
        No such file, a row that is no block.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the blocks of condition {name!r} are not there")
    events = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        try:
            onset, duration, weight = (*map(float, cells[:2]), float((cells[2:] or ["1"])[0]))
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: {line!r} is not onset, duration (s) and weight"
            ) from None
        if weight:
            events.append(Event(onset=onset, name=name, duration=duration))
    return events
