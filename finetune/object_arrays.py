"""Mappings that numpy has pickled into an ``.npy`` file, read without running what they hold."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
"""What a pickle of arrays needs; nothing of it can do anything but make arrays."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what makes arrays; refuse all else."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_object_mapping(path: Path, *names: str) -> dict[str, Any]:
    """Return the mapping that ``numpy.save`` has pickled.

    Parameters
    ----------
    path
        The file.
    names
        What must be in it.

    Raises
    ------
    ValueError, FileNotFoundError
        Missing, damaged, no mapping, a name is not in it, or it holds objects other than arrays,
        numbers, texts and lists of them, which only running its code would bring back.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            shape, _, kind = (
                read(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)
            )
            if shape != () or kind != np.dtype(object):
                raise ValueError(f"it holds an array {shape} of {kind}, no mapping")
            content = _ArraysOnly(file).load()
    except (ValueError, EOFError, pickle.UnpicklingError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as a mapping of arrays: {error}") from error
    found = content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content
    missing = [name for name in names if not isinstance(found, dict) or name not in found]
    if not isinstance(found, dict) or missing:
        raise ValueError(f"{path}: has no {', '.join(missing) or 'mapping'}")
    return found
