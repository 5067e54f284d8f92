"""fMRI as time series of regions or voxels, through nilearn: masks, atlases, confounds, contrasts.

Images, masks and atlases are files (NIfTI) or nibabel images. Nothing is brought to another grid
silently: an atlas in another space gives series of the wrong places without any error.

Shapes: V volumes, R regions or voxels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import FloatArray

Image = Any
"""A path of a NIfTI file or a nibabel image."""
LEAST_INSIDE = 0.5
"""Share of an atlas that must lie in the field of view after resampling."""


class RoiSeries(NamedTuple):
    """``series`` (V, R) and ``names`` of the regions."""

    series: FloatArray
    names: tuple[str, ...]


class Contrast(NamedTuple):
    """``effect`` (R,) in the unit of the series, ``t`` and ``z`` (R,) of it."""

    effect: FloatArray
    t: FloatArray
    z: FloatArray


def loaded(image: Image, what: str, *, dims: tuple[int, ...]) -> Any:
    """Return a nibabel image with one of ``dims`` axes.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file; it is no image; it has other axes.
    """
    import nibabel

    if isinstance(image, str | Path):
        if not Path(image).is_file():
            raise FileNotFoundError(f"{what}: no file {image}")
        try:
            image = nibabel.load(image)
        except nibabel.filebasedimages.ImageFileError as error:
            raise ValueError(f"{what}: {image} is no image that nibabel reads") from error
    if len(image.shape) not in dims:
        raise ValueError(
            f"{what} must have {' or '.join(map(str, dims))} axes, has shape {image.shape}"
        )
    return image


def check_grid(atlas: Any, image: Any, *, resample: bool, what: str = "atlas") -> None:
    """Raise ValueError unless an atlas or mask lies where the image is.

    Parameters
    ----------
    atlas, image
        nibabel images.
    resample
        Whether another grid is allowed if most of the atlas is inside the field of view.
    what
        What the message calls the first of them.
    """
    same = atlas.shape[:3] == image.shape[:3] and np.allclose(atlas.affine, image.affine, atol=1e-3)
    if same:
        return
    grids = f"{_grid(atlas)} of the {what} is not {_grid(image)} of the image"
    if not resample:
        article = "an" if what[0] in "aeiou" else "a"
        mend = " or resample=True if they agree" if what == "atlas" else ""
        raise ValueError(f"{grids}; give {article} {what} in its space{',' if mend else ''}{mend}")
    inside = _share_inside(atlas, image)
    if inside < LEAST_INSIDE:
        raise ValueError(
            f"{grids}: only {inside:.0%} of the atlas lies in the field of view, so it is in "
            "another space (the image must be normalised to the atlas's, for instance MNI)"
        )


def _grid(image: Any) -> str:
    sizes = " x ".join(f"{size:.3g}" for size in np.linalg.norm(image.affine[:3, :3], axis=0))
    origin = ", ".join(f"{place:.0f}" for place in image.affine[:3, 3])
    return f"the grid {image.shape[:3]}, {sizes} mm from ({origin})"


def _share_inside(atlas: Any, image: Any) -> float:
    values = np.asanyarray(atlas.dataobj)
    there = np.argwhere((values != 0).any(axis=3) if values.ndim == 4 else values != 0)
    to_image = np.linalg.inv(image.affine) @ atlas.affine
    place = there @ to_image[:3, :3].T + to_image[:3, 3]
    within = (place > -0.5) & (place < np.array(image.shape[:3]) - 0.5)
    return float(within.all(axis=1).mean()) if len(there) else 0.0


def clean_confounds(confounds: NDArray[Any] | None, n_volumes: int) -> FloatArray | None:
    """Return confounds (V, F) for nilearn; NaN in the first volume (a difference) become 0.

    Raises
    ------
    ValueError
        Another number of volumes; a value that is not finite elsewhere.
    """
    if confounds is None:
        return None
    table = np.array(confounds, dtype=np.float64, ndmin=2)
    if len(table) != n_volumes:
        raise ValueError(f"confounds have {len(table)} rows for {n_volumes} volumes")
    table[0] = np.nan_to_num(table[0], nan=0.0)
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"confounds hold a value that is not finite in volume {row}")
    return table


def roi_series(
    image: Image,
    atlas: Image,
    *,
    t_r: float,
    names: Sequence[str] | None = None,
    confounds: NDArray[Any] | None = None,
    high_pass: float | None = None,
    standardize: bool = False,
    resample: bool = False,
) -> RoiSeries:
    """Return the mean series of an atlas's regions.

    Parameters
    ----------
    image
        BOLD (4 axes).
    atlas
        Labels (3 axes, whole numbers, 0 is outside; Schaefer) or maps (4 axes, weights; DiFuMo).
    t_r
        Seconds between volumes.
    names
        Of the labels in increasing order, or of the maps; their numbers without.
    confounds
        (V, F) regressed out.
    high_pass
        Hz, by cosines fitted to the whole series: None for what a decoder is judged by, since a
        fit to the whole scan tells training of test volumes.
    standardize
        Mean 0 and deviation 1 of the whole series; the same caution.
    resample
        Bring the atlas to the image's grid if most of it lies in the field of view.

    Raises
    ------
    FileNotFoundError, ValueError
        Files missing or of other shapes; another space; names that are too many or too few.
    """
    from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker

    bold = loaded(image, "BOLD", dims=(4,))
    regions = loaded(atlas, "atlas", dims=(3, 4))
    check_grid(regions, bold, resample=resample)
    if t_r <= 0:
        raise ValueError(f"t_r must be positive (s), got {t_r}")
    if len(regions.shape) == 3:
        labels = np.unique(np.asanyarray(regions.dataobj))
        numbers = [str(int(label)) for label in labels[labels != 0]]
    else:
        numbers = [str(k + 1) for k in range(regions.shape[3])]
    if names is not None and len(names) != len(numbers):
        raise ValueError(f"{len(names)} names for {len(numbers)} regions of the atlas")
    settings: dict[str, Any] = {
        "standardize": "zscore_sample" if standardize else None,
        "high_pass": high_pass,
        "t_r": t_r,
        "resampling_target": "data",
    }
    if len(regions.shape) == 3:
        masker = NiftiLabelsMasker(labels_img=regions, **settings)
    else:
        masker = NiftiMapsMasker(maps_img=regions, **settings)
    found = masker.fit_transform(bold, confounds=clean_confounds(confounds, bold.shape[3]))
    series = np.asarray(found, dtype=np.float64)
    if series.shape[1] != len(numbers):
        raise ValueError(
            f"{len(numbers) - series.shape[1]} of {len(numbers)} regions vanish on the image's "
            "grid: they are smaller than its voxels; take a coarser atlas"
        )
    return RoiSeries(series, tuple(names if names is not None else numbers))


def voxel_series(image: Image, mask: Image) -> FloatArray:
    """Return the series (V, R) of the voxels where a mask (3 axes) is not 0, as they are.

    Raises
    ------
    FileNotFoundError, ValueError
        As for :func:`roi_series`; the mask is empty.
    """
    bold, where = loaded(image, "BOLD", dims=(4,)), loaded(mask, "mask", dims=(3,))
    check_grid(where, bold, resample=False, what="mask")
    inside = np.asanyarray(where.dataobj) != 0
    if not inside.any():
        raise ValueError("the mask has no voxel")
    return np.asarray(np.asanyarray(bold.dataobj)[inside].T, dtype=np.float64)


def volume_times(
    triggers: Sequence[float] | NDArray[Any], n_volumes: int, t_r: float
) -> FloatArray:
    """Return when each volume began (V,), in s of the recording that holds the triggers.

    Raises
    ------
    ValueError
        Triggers and volumes differ in number, or two triggers are not one ``t_r`` apart (within a
        tenth): one was missed or is no trigger of a volume.
    """
    times = np.asarray(triggers, dtype=np.float64)
    if times.shape != (n_volumes,):
        raise ValueError(
            f"{times.size} volume triggers for {n_volumes} volumes: cut the recording or drop the "
            "volumes that have no partner"
        )
    steps = np.diff(times)
    wrong = np.flatnonzero(np.abs(steps - t_r) > 0.1 * t_r)
    if len(wrong):
        k = int(wrong[0])
        raise ValueError(
            f"volume triggers {k} and {k + 1} are {steps[k]:.3f} s apart, t_r is {t_r} s: one was "
            "missed or is no trigger of a volume"
        )
    return times


def contrast(
    series: FloatArray,
    events: Sequence[tuple[float, float, str]],
    weights: Mapping[str, float],
    *,
    t_r: float,
    confounds: NDArray[Any] | None = None,
    high_pass: float = 0.01,
    slice_time: float = 0.5,
) -> Contrast:
    """Return a contrast of conditions in a general linear model with autoregressive noise.

    Parameters
    ----------
    series
        (V, R).
    events
        Onset and duration in s, and condition.
    weights
        By condition, for instance ``{"audio": 1, "video": -1}``.
    t_r
        Seconds between volumes.
    confounds
        (V, F) more regressors.
    high_pass
        Hz of the slowest cosine left in.
    slice_time
        When a volume is modelled, as a share of ``t_r`` after its start: 0.5 where slices were
        acquired one after the other and left so, 0 where they were corrected to the first.
    """
    import pandas as pd
    from nilearn.glm import compute_contrast
    from nilearn.glm.first_level import make_first_level_design_matrix, run_glm

    conditions = {name for *_, name in events}
    if not weights or set(weights) - conditions:
        raise ValueError(
            f"contrast of {sorted(set(weights) - conditions) or 'nothing'}, but the events are of "
            f"{sorted(conditions)}"
        )
    if not 0 <= slice_time <= 1:
        raise ValueError(f"slice_time is a share of t_r, from 0 to 1, got {slice_time}")
    table = pd.DataFrame(list(events), columns=["onset", "duration", "trial_type"])
    frames = (np.arange(len(series)) + slice_time) * t_r
    extra = clean_confounds(confounds, len(series))
    design = make_first_level_design_matrix(
        frames, table, hrf_model="spm", drift_model="cosine", high_pass=high_pass, add_regs=extra
    )
    labels, estimates = run_glm(np.asarray(series), design.to_numpy(), noise_model="ar1")
    vector = np.array([weights.get(str(name), 0.0) for name in design.columns])
    found = compute_contrast(labels, estimates, vector, stat_type="t")
    return Contrast(
        np.ravel(found.effect_size()), np.ravel(found.stat()), np.ravel(found.z_score())
    )
