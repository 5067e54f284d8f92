"""Globs of a data set: below its folder, or absolute."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path


def glob_below(root: Path, pattern: str) -> str:
    """Return a glob that needs no folder to start from, of one below ``root`` or absolute.

    Raises
    ------
    ValueError
        An absolute glob that leads elsewhere.
    """
    path = Path(pattern).expanduser()
    if path.is_absolute():
        if not path.is_relative_to(root):
            raise ValueError(
                f"{pattern}: is not below {root}, the folder of the data set; give a folder that "
                "holds both as root, or a glob below it"
            )
        path = path.relative_to(root)
    # Signs such as [ in the folder's own name stand for themselves.
    return str(Path(glob.escape(str(root))) / path)


def folder_of_globs(root: str, patterns: Sequence[str]) -> Path:
    """Return the folder of a data set: ``root``, but of absolute globs what they have in common.

    A ``root`` other than the current folder is always taken as it is.
    """
    paths = [Path(pattern).expanduser() for pattern in patterns]
    if Path(root) != Path() or not paths or not all(path.is_absolute() for path in paths):
        return Path(root).expanduser().absolute()
    return Path(os.path.commonpath([_fixed_folder(path) for path in paths]))


def _fixed_folder(path: Path) -> Path:
    """Return the deepest folder on the way to what a glob names that is there or no wildcard."""
    folder = path.parent
    while glob.has_magic(str(folder)) and not folder.is_dir():
        folder = folder.parent
    return folder
