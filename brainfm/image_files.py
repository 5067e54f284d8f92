"""Pictures in files, known by their content.

Shapes: H height, W width.
"""

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainfm.trial_events import content_id

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def image_files(patterns: Sequence[str]) -> dict[str, Path]:
    """Return pictures by content id; of two copies the first by name.

    Parameters
    ----------
    patterns
        Files, folders with pictures at any depth, or globs (``**`` too).

    Raises
    ------
    FileNotFoundError
        A pattern that matches no picture.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        matches = glob.glob(str(Path(pattern).expanduser()), recursive=True)
        files = [
            file
            for path in map(Path, matches)
            for file in (path.rglob("*") if path.is_dir() else [path])
            if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
        ]
        if not files:
            raise FileNotFoundError(
                f"no picture ({', '.join(ENDINGS)}) in {pattern}; name where the pictures are"
            )
        for path in sorted(files):
            found.setdefault(content_id(path.read_bytes()), path)
    return found


def read_image(path: str | Path, pixels: int | None = None) -> Tensor:
    """Return a picture (3, H, W) in [0, 1]; transparent places are white.

    Parameters
    ----------
    path
        The file.
    pixels
        Height and width of the largest square about its centre, resized; None: as it is.

    Raises
    ------
    ValueError, FileNotFoundError
        It cannot be read.
    """
    from PIL import Image

    if not Path(path).is_file():
        raise FileNotFoundError(f"no picture {path}")
    try:
        with Image.open(path) as file:
            rgba = file.convert("RGBA")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    image = Image.new("RGBA", rgba.size, "white")
    image.alpha_composite(rgba)
    if pixels is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((pixels, pixels), Image.Resampling.BICUBIC)
    values = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()
