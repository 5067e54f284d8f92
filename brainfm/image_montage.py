"""A picture of pictures: shown images beside what was decoded and what needs no brain.

Shapes: N images, H height, W width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from brainfm.atomic import atomic_path


def montage(columns: Mapping[str, Tensor], *, pixels: int = 96, gap: int = 4) -> np.ndarray:
    """Return bytes (height, width, 3) with one column of images per name, on white.

    Parameters
    ----------
    columns
        By name ("shown", "decoded", "prior only", "nearest neighbour"), images (N, 3, H, W) in
        [0, 1]; each column may have its own size of images.
    pixels
        Height and width of an image in the montage.
    gap
        Between images, in pixels.

    Raises
    ------
    ValueError
        No columns; columns differ in number; no images in [0, 1].
    """
    counts = {name: len(images) for name, images in columns.items()}
    if len(set(counts.values())) != 1 or not next(iter(counts.values())):
        raise ValueError(f"every column needs the same images, one or more, got {counts}")
    step, n = pixels + gap, next(iter(counts.values()))
    canvas = np.full((n * step + gap, len(columns) * step + gap, 3), 255, dtype=np.uint8)
    for column, (name, images) in enumerate(columns.items()):
        if images.ndim != 4 or images.shape[1] != 3 or not 0 <= images.min() <= images.max() <= 1:
            raise ValueError(f"{name} must be images (N, 3, H, W) in [0, 1]")
        small = F.interpolate(images.float(), (pixels, pixels), mode="bilinear", antialias=True)
        rows = (small.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        left = gap + column * step
        for row, image in enumerate(rows):
            top = gap + row * step
            canvas[top : top + pixels, left : left + pixels] = image
    return canvas


def save_montage(path: str | Path, columns: Mapping[str, Tensor], *, pixels: int = 96) -> None:
    """Write a montage as PNG, with the names above the columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture, gap, head = montage(columns, pixels=pixels), 4, 24
    height, width = picture.shape[:2]
    figure = Figure(figsize=(width / 100, (height + head) / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, height / (height + head)))
    axes.imshow(picture, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for column, name in enumerate(columns):
        middle = (gap + column * (pixels + gap) + pixels / 2) / width
        figure.text(middle, 1 - head / 2 / (height + head), name, ha="center", va="center", size=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
