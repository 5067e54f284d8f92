"""Sound files as arrays, and stretches of them.

Shapes: T samples.
"""

from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.io import wavfile

from brainfm.sensors import FloatArray

LOWEST_RATE = 4000
SHORTEST_S = 0.1


def read_wav(path: Path) -> tuple[NDArray[np.floating], int]:
    """Return the samples of a WAV file, channels averaged, largest possible value 1, and its rate.

    Raises
    ------
    ValueError, FileNotFoundError
        With one line that names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no audio file {path}")
    try:
        rate, stored = wavfile.read(path)
    except (ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path}: cannot be read as WAV ({reason}); convert it, for example with "
            f"'ffmpeg -i {path.name} {path.stem}.wav'"
        ) from error
    samples: NDArray[np.floating] = stored.astype(np.float32)  # half the memory of float64
    if stored.dtype == np.uint8:
        samples = samples / 128 - 1
    elif stored.dtype.kind == "i":
        samples /= -float(np.iinfo(stored.dtype).min)
    samples = samples.mean(axis=1) if samples.ndim == 2 else samples
    if rate < LOWEST_RATE or len(samples) < SHORTEST_S * rate:
        raise ValueError(
            f"{path}: holds {len(samples)} samples at {rate} Hz; a sound needs at least "
            f"{SHORTEST_S:g} s at {LOWEST_RATE} Hz or more"
        )
    if not np.isfinite(samples).all() or np.ptp(samples) == 0:
        raise ValueError(f"{path}: is silent or not finite")
    return samples, int(rate)


def cut_sound(
    samples: NDArray[np.floating], rate: int, begin: float, end: float
) -> NDArray[np.floating]:
    """Return the samples from ``begin`` to ``end`` (s) that there are; none beyond the sound."""
    first, last = (min(max(round(t * rate), 0), len(samples)) for t in (begin, end))
    return samples[first:last]


def resample_sound(samples: NDArray[np.floating], rate: int, to: int) -> FloatArray:
    """Return a sound at another rate; what is faster than the new rate can hold is taken away."""
    if rate == to:
        return np.asarray(samples, dtype=np.float64)
    divisor = gcd(rate, to)
    return np.asarray(
        signal.resample_poly(samples.astype(np.float64), to // divisor, rate // divisor)
    )
