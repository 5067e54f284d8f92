"""Random numbers that belong to a window, not to its place in a batch.

A window's numbers follow from a few whole numbers (seed, step, recording, first frame) by a hash
(splitmix64, Steele et al. 2014). They are the same on any device, whatever else is in the batch
and however windows are divided over ranks; all windows are drawn at once, and nothing has to leave
the device.

Shapes: B batch.
"""

import torch
from torch import Tensor

from brainfm.permutation import key_of

_MASKS = {shift: (1 << (64 - shift)) - 1 for shift in (27, 30, 31)}


def _signed(value: int) -> int:
    """Return the int64 with the bits of a uint64."""
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shifted(value: Tensor, shift: int) -> Tensor:
    """Shift int64 to the right, filling with zeros."""
    return (value >> shift) & _MASKS[shift]


def mix(value: Tensor) -> Tensor:
    """Return :func:`brainfm.permutation.mix` of int64 tensors bit for bit; products wrap around."""
    z = value + _GOLDEN
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


class WindowDraws:
    """A stream of random numbers for each window of a batch.

    Parameters
    ----------
    parts
        Whole numbers that all windows share, such as seed and step; not negative.
    windows
        (B,) int64 each: what tells windows apart, such as recording and first frame.
    """

    def __init__(self, *parts: int, windows: tuple[Tensor, ...]) -> None:
        key = torch.full_like(windows[0], _signed(int(key_of(*parts))))
        for value in windows:
            key = mix(mix(key) ^ value)
        self._keys = key
        self._drawn = 0

    def uniform(self, n: int) -> Tensor:
        """Return the next ``n`` numbers of every window, (B, n) float32 in [0, 1)."""
        place = torch.arange(self._drawn, self._drawn + n, device=self._keys.device)
        self._drawn += n
        bits = mix(self._keys[:, None] + place * _GOLDEN)
        # 24 bits, as many as float32 holds exactly.
        return ((bits >> 40) & 0xFFFFFF).float() * 2.0**-24
