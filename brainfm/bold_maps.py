"""Values of regions or voxels on the brain, drawn through nilearn.

Nothing is downloaded: the only background is the template that nilearn itself brings, and it is
taken only for images that say that they are in its space.

Shapes: R regions or voxels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainfm.bold import Image, loaded
from brainfm.report_style import SIGNED_MAP, new_figure
from brainfm.sensors import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE_CODE = 4
"""What a NIfTI header says of coordinates that are those of the MNI 152 template."""
LEAST_SHARE = 0.1
"""Of a map's largest weight, from which on a voxel belongs to its region in a picture."""


def region_map(atlas: Image, values: Sequence[float] | NDArray[Any]) -> Any:
    """Return a nibabel image with the value of its region at every voxel, 0 outside.

    Parameters
    ----------
    atlas
        Labels (3 axes; values in increasing order of the labels) or maps (4 axes; a voxel belongs
        to the map with the largest weight there, from a tenth of that map's largest one on).
    values
        (R,); a region whose value is NaN is left out.

    Raises
    ------
    FileNotFoundError, ValueError
        No such image; another number of regions.
    """
    import nibabel

    image = loaded(atlas, "atlas", dims=(3, 4))
    data = np.asanyarray(image.dataobj)
    if data.ndim == 3:
        labels = np.unique(data[data != 0])
        region = np.where(data != 0, np.searchsorted(labels, data), -1)
        n_regions = len(labels)
    else:
        n_regions = data.shape[3]
        share = data / np.maximum(data.reshape(-1, n_regions).max(0), 1e-30)
        region = np.where(share.max(axis=3) >= LEAST_SHARE, data.argmax(axis=3), -1)
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (n_regions,):
        raise ValueError(f"{given.size} values for {n_regions} regions of the atlas")
    return nibabel.Nifti1Image(_painted(given, region), image.affine, _space_of(image))


def voxel_map(mask: Image, values: Sequence[float] | NDArray[Any]) -> Any:
    """Return a nibabel image with a value (R,) at every voxel of a mask, 0 outside.

    The order is that of :func:`~brainfm.bold.voxel_series`.
    """
    import nibabel

    image = loaded(mask, "mask", dims=(3,))
    inside = np.asanyarray(image.dataobj) != 0
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (int(inside.sum()),):
        raise ValueError(f"{given.size} values for {int(inside.sum())} voxels of the mask")
    place = np.full(inside.shape, -1)
    place[inside] = np.arange(len(given))
    return nibabel.Nifti1Image(_painted(given, place), image.affine, _space_of(image))


def _painted(values: FloatArray, place: NDArray[Any]) -> NDArray[np.float32]:
    found = np.where(place >= 0, values[place.clip(0)], 0.0)
    return np.nan_to_num(found).astype(np.float32)


def _space_of(image: Any) -> Any:
    """Return a header that says only in which space the image is."""
    import nibabel

    header = nibabel.Nifti1Header()
    code = TEMPLATE_CODE if in_template_space(image) else 2
    header.set_sform(image.affine, code=code)
    header.set_qform(image.affine, code=code, strip_shears=True)
    return header


def in_template_space(image: Any) -> bool:
    """Return whether the header of a nibabel image says that it is in MNI space."""
    header = image.header
    names = [name for name in ("sform_code", "qform_code") if name in header]
    return any(int(header[name]) == TEMPLATE_CODE for name in names)


def map_figure(
    image: Image,
    *,
    label: str = "r",
    background: Image | None = None,
    threshold: float = 0.0,
    reach: float | None = None,
) -> "Figure":
    """Draw a map: slices, and a glass brain where the image says that it is in MNI space.

    Parameters
    ----------
    image
        Of :func:`region_map` or :func:`voxel_map`; 0 is nothing.
    label
        Of the colours.
    background
        Under the slices, for instance the mean of the volumes. None: nilearn's template in MNI
        space, else nothing.
    threshold
        Smaller values, whatever their sign, are left out.
    reach
        Value of the last colour; None: the largest there is.
    """
    from nilearn import plotting

    shown = loaded(image, "map", dims=(3,))
    values = np.asanyarray(shown.dataobj)
    reach = reach or float(np.abs(values).max()) or 1.0
    glass = in_template_space(shown)
    shared = {
        "cmap": SIGNED_MAP,
        "vmax": reach,
        "vmin": -reach,
        "threshold": max(threshold, 1e-6 * reach),
        "symmetric_cbar": True,
    }
    under = {} if background is None and glass else {"bg_img": background}
    with new_figure(6.4 if glass else 3.4) as figure:
        figure.set_layout_engine("none")  # nilearn places its axes itself
        slices = (0.0, 0.5, 0.95, 0.46) if glass else (0.0, 0.08, 0.95, 0.84)
        plotting.plot_stat_map(
            shown, figure=figure, axes=slices, black_bg=False, draw_cross=False, **under, **shared
        )
        if glass:
            below = (0.0, 0.0, 0.95, 0.46)
            plotting.plot_glass_brain(
                shown, figure=figure, axes=below, plot_abs=False, colorbar=False, **shared
            )
        figure.text(0.965, slices[1] + slices[3] / 2, label, rotation=90, va="center", ha="center")
    return figure
