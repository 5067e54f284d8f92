"""A tokenizer that has learned nothing: fewer samples, each one of a few fixed quantiles.

The floor that a learned code has to beat at the same number of bits. Every channel is coded by
itself: a discrete cosine transform is cut off so that the bits suffice, and what is left is
rounded, sample by sample, to equally filled bins of that channel. Cutting the transform off is
an ideal low-pass whose ends are mirrored, so pieces of any length need no padding.

The bins of a channel come from its own recording; they would cost ``16 x levels`` bits a channel
once and are not counted, which favours this baseline.

Shapes: C channels, T samples of a piece, R kept samples of a piece, L levels (bins).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct

FloatArray = NDArray[np.float32]
CodeArray = NDArray[np.uint16]

BITS_TRIED = (1, 2, 3, 4)
"""Bits a sample among which the best is looked for when none is asked for."""


@dataclass(frozen=True, kw_only=True)
class QuantileConfig:
    """How bits are spent.

    Parameters
    ----------
    bits_per_second
        Of one channel.
    bits_per_sample
        Two to this power is L; the rest of the budget goes into samples: ``bits_per_second /
        bits_per_sample`` of them a second carry frequencies up to half of that, Hz.
    """

    bits_per_second: float
    bits_per_sample: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.bits_per_second < np.inf:
            raise ValueError(f"bits_per_second must be positive, got {self.bits_per_second}")
        if not 1 <= self.bits_per_sample <= 16:
            raise ValueError(f"bits_per_sample must lie in [1, 16], got {self.bits_per_sample}")

    @property
    def levels(self) -> int:
        """L."""
        return 2**self.bits_per_sample

    def kept(self, n_times: int, sfreq: float) -> int:
        """Return R, the samples kept of ``n_times``; 0 where the bits do not suffice for one."""
        affordable = self.bits_per_second * n_times / sfreq / self.bits_per_sample
        # 4 bits a second over 2 s are 8 bits, also where 4 came out of a division.
        return min(n_times, int(affordable + 1e-9))


def shorten(x: FloatArray, n_kept: int) -> FloatArray:
    """Resample (C, T) to (C, n_kept) by cutting off its cosine transform."""
    spectrum = dct(x, axis=-1, norm="ortho")[:, :n_kept]
    return idct(spectrum, axis=-1, norm="ortho") * np.sqrt(n_kept / x.shape[-1])


def lengthen(x: FloatArray, n_times: int) -> FloatArray:
    """Resample (C, R) to (C, n_times): the inverse of :func:`shorten` for what it kept."""
    spectrum = dct(x, axis=-1, norm="ortho") * np.sqrt(n_times / x.shape[-1])
    return idct(spectrum, n=n_times, axis=-1, norm="ortho")


class QuantileTokenizer:
    """Codes of each channel by the quantiles of what it kept of a recording.

    Parameters
    ----------
    cfg
        How bits are spent.
    sfreq
        Of the signals, Hz.
    edges, values
        (C, L - 1) borders between bins and (C, L) what each bin stands for, in the signals' unit.
    """

    def __init__(
        self, cfg: QuantileConfig, sfreq: float, edges: FloatArray, values: FloatArray
    ) -> None:
        self.cfg = cfg
        self.sfreq = sfreq
        self.edges = edges
        self.values = values

    @classmethod
    def of(
        cls, pieces: Sequence[FloatArray], sfreq: float, cfg: QuantileConfig
    ) -> "QuantileTokenizer":
        """Take the bins from the pieces (C, T) of a recording, together.

        Borders are the quantiles ``i / L`` of the kept samples, values the quantiles halfway
        between them.
        """
        kept = [shorten(x, n) for x in pieces if (n := cfg.kept(x.shape[-1], sfreq))]
        if not kept:
            raise ValueError(
                f"{cfg.bits_per_second:g} bits per second do not suffice for one sample of "
                f"{cfg.bits_per_sample} bits in any piece"
            )
        share = np.arange(1, 2 * cfg.levels) / (2 * cfg.levels)
        quantiles = np.quantile(np.concatenate(kept, axis=1), share, axis=1).T.astype(np.float32)
        return cls(cfg, sfreq, quantiles[:, 1::2], quantiles[:, ::2])

    def encode(self, x: FloatArray) -> CodeArray:
        """Return the codes (C, R) of a piece (C, T)."""
        n_kept = self.cfg.kept(x.shape[-1], self.sfreq)
        if not n_kept:
            return np.zeros((len(x), 0), dtype=np.uint16)
        rows = zip(self.edges, shorten(x, n_kept), strict=True)
        return np.stack([np.searchsorted(edges, row) for edges, row in rows]).astype(np.uint16)

    def decode(self, codes: CodeArray, n_times: int) -> FloatArray:
        """Return the piece (C, n_times) that codes (C, R) stand for; zeros where R is 0."""
        if not codes.shape[1]:
            return np.zeros((len(codes), n_times), dtype=np.float32)
        kept = np.take_along_axis(self.values, codes.astype(np.int64), axis=1)
        return lengthen(kept, n_times).astype(np.float32)


def quantile_reconstruction(
    pieces: Sequence[FloatArray],
    sfreq: float,
    *,
    bits_per_second: float,
    bits_per_sample: int | None = None,
) -> tuple[FloatArray, ...]:
    """Send the pieces of a recording through a fixed-quantile code and back.

    Parameters
    ----------
    pieces
        (C, T) each, any unit.
    sfreq
        Hz.
    bits_per_second
        Of all channels together, spent on them in equal parts.
    bits_per_sample
        None takes, of 1 to 4, the number that leaves the smallest squared error in these very
        pieces: the best that this baseline can do.

    Returns
    -------
    tuple of array
        Reconstructions, shaped as ``pieces``; zeros where the bits do not suffice for one sample.
    """
    if not pieces:
        return ()
    best: tuple[FloatArray, ...] = tuple(np.zeros_like(x) for x in pieces)
    least = np.inf
    for bits in (bits_per_sample,) if bits_per_sample else BITS_TRIED:
        cfg = QuantileConfig(bits_per_second=bits_per_second / len(pieces[0]), bits_per_sample=bits)
        if not any(cfg.kept(x.shape[-1], sfreq) for x in pieces):
            continue
        coder = QuantileTokenizer.of(pieces, sfreq, cfg)
        decoded = tuple(coder.decode(coder.encode(x), x.shape[-1]) for x in pieces)
        error = sum(
            float(np.square(y - x, dtype=np.float64).sum())
            for x, y in zip(pieces, decoded, strict=True)
        )
        if error < least:
            best, least = decoded, error
    return best
