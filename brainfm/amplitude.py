"""Units of a signal: factors that repair them, and a check that the numbers can be a brain's.

Shapes: C sensors, T samples. Amplitudes are in the SI unit of the sensor type (V, T, T/m).
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from brainfm.sensors import SENSOR_TYPES, FloatArray

SegmentReader = Callable[[int, int], FloatArray]
"""``read(start, stop)`` -> (C, stop - start)."""

PLAUSIBLE = MappingProxyType(
    {
        "eeg": (5e-8, 2e-3),
        "mag": (1e-15, 1e-8),
        "planar": (1e-14, 1e-7),
        "axial": (1e-15, 1e-8),
        "ieeg": (5e-8, 1e-2),
    }
)
"""Amplitude (see :func:`median_amplitude`) between which a recording can be what it says it is."""

UNITS = MappingProxyType(
    {
        "V": {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9},
        "T": {"T": 1.0, "uT": 1e-6, "nT": 1e-9, "pT": 1e-12, "fT": 1e-15},
        "T/m": {"T/m": 1.0, "nT/m": 1e-9, "pT/m": 1e-12, "fT/m": 1e-15, "fT/cm": 1e-13},
    }
)
"""Names of units by the SI unit that they are multiples of."""

SEGMENTS = 8
SEGMENT_S = 2.0
SEGMENT_SAMPLES = 4096


def parse_unit(text: str) -> dict[str, float]:
    """Return the factor by SI unit that a unit option asks for.

    Parameters
    ----------
    text
        ``"uV"``: what was read as volts is really microvolts (factor 1e-6). ``"V as uV"``: volts
        that were read as microvolts (factor 1e6). Several, for MEG with EEG: ``"uV, fT"``.

    Examples
    --------
    >>> parse_unit("mV")
    {'V': 0.001}
    """
    factors: dict[str, float] = {}
    for part in text.replace("µ", "u").replace("μ", "u").split(","):
        stored, _, read = (piece.strip() for piece in part.partition(" as "))
        for si, multiples in UNITS.items():
            if stored in multiples and (read or si) in multiples and si not in factors:
                factors[si] = multiples[stored] / multiples[read or si]
                break
        else:
            known = ", ".join(name for multiples in UNITS.values() for name in multiples)
            raise ValueError(
                f"unit {text!r} is not understood: give one of {known}, 'STORED as READ' "
                f"(such as 'V as uV'), or one per quantity (such as 'uV, fT')"
            )
    return factors


def unit_factors(text: str | None, types: NDArray[np.str_]) -> FloatArray:
    """Return what to multiply every sensor's signal with, (C,)."""
    if text is None:
        return np.ones(len(types))
    factors = parse_unit(text)
    units = [SENSOR_TYPES[kind].unit for kind in types.tolist()]
    idle = sorted(set(factors) - set(units))
    if idle:
        raise ValueError(
            f"unit {text!r} names a multiple of {' and '.join(idle)}, but the sensors measure "
            f"{' and '.join(sorted(set(units)))}"
        )
    return np.array([factors.get(unit, 1.0) for unit in units])


def robust_spread(signal: FloatArray) -> FloatArray:
    """Return the spread (C,) of (C, T) about each channel's drift, as a standard deviation.

    The drift is the line through the medians of both halves and the spread the 5 to 95 percent
    range, so that a few wild samples do not count. Samples that are not finite are left out; a
    channel without finite samples gives NaN.
    """
    holes = ~np.isfinite(signal)
    spread = np.full(len(signal), np.nan)
    seen = ~holes.all(axis=1)
    if not seen.any():
        return spread
    x = np.where(holes, np.nan, signal)[seen] if holes.any() else signal
    half = x.shape[1] // 2
    time = np.where(np.isnan(x), np.nan, np.arange(x.shape[1], dtype=np.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a half without samples: no drift
        median, percentile = (
            (np.nanmedian, np.nanpercentile) if holes.any() else (np.median, np.percentile)
        )  # those that pass over NaN are slow
        rise = median(x[:, half:], axis=1) - median(x[:, :half], axis=1)
        run = median(time[:, half:], axis=1) - median(time[:, :half], axis=1)
    drift = np.nan_to_num(rise / run)
    low, high = percentile(x - drift[:, None] * time, [5, 95], axis=1)
    spread[seen] = (high - low) / 3.2897  # a Gaussian's 5 to 95 percent in standard deviations
    return spread


def stretches(read: SegmentReader, n_times: int, sfreq: float) -> Iterator[FloatArray]:
    """Yield up to eight stretches (C, n) of at most two seconds, evenly spread over a recording.

    Time and memory do not grow with the recording.
    """
    length = max(1, min(n_times, round(SEGMENT_S * sfreq), SEGMENT_SAMPLES))
    for start in np.unique(np.linspace(0, n_times - length, SEGMENTS).astype(int)).tolist():
        yield read(start, start + length)


def median_amplitude(parts: Iterable[FloatArray], types: NDArray[np.str_]) -> dict[str, float]:
    """Return each sensor type's median spread over its channels that are not flat.

    A channel counts by the median over the ``parts``, each (C, n). Types with no live channel are
    left out: they are a matter of signal quality.
    """
    spreads = np.array([robust_spread(part) for part in parts])
    spreads[~(spreads > 0)] = np.nan
    found = {}
    for kind in dict.fromkeys(types.tolist()):
        of_kind = spreads[:, types == kind]
        of_kind = of_kind[:, np.isfinite(of_kind).any(axis=0)]
        if of_kind.size:
            found[kind] = float(np.median(np.nanmedian(of_kind, axis=0)))
    return found


def amplitude_problem(amplitudes: dict[str, float], accepted: set[str]) -> str | None:
    """Say which amplitude cannot be a brain's and which ``unit`` would mend it, or return None.

    Parameters
    ----------
    amplitudes
        What :func:`median_amplitude` returned.
    accepted
        SI units that the user stated to be right as they are; not checked.
    """
    for kind, value in amplitudes.items():
        unit = SENSOR_TYPES[kind].unit
        low, high = PLAUSIBLE[kind]
        if unit in accepted or low <= value <= high:
            continue
        mends = [
            f"unit={name!r} ({format_amplitude(value * factor, unit)})"
            for name, factor in candidate_units(unit)
            if low <= value * factor <= high
        ]
        how = f"give {' or '.join(mends[:2])}" if mends else "check the file's units and gain"
        return (
            f"{SENSOR_TYPES[kind].label} amplitude is {format_amplitude(value, unit)} (median "
            f"over channels, drift removed), plausible are {format_amplitude(low, unit)} to "
            f"{format_amplitude(high, unit)}: if the numbers were stored in another unit, {how}; "
            f"if they are right, give unit={unit!r}"
        )
    return None


def candidate_units(unit: str) -> list[tuple[str, float]]:
    """Return (unit option, factor) that may mend signals of this SI unit, likeliest first."""
    options = {
        "V": ("uV", "mV", "nV", "V as uV", "mV as uV", "V as nV"),
        "T": ("fT", "pT", "nT", "uT", "T as fT", "pT as fT", "nT as fT"),
        "T/m": ("fT/cm", "fT/m", "pT/m", "T/m as fT/cm", "T/m as fT/m"),
    }
    return [(option, parse_unit(option)[unit]) for option in options[unit]]


def format_amplitude(value: float, unit: str) -> str:
    """Write an amplitude with a readable prefix, ``6.1 mV``."""
    sizes = {1.0: "", 1e-3: "m", 1e-6: "u", 1e-9: "n", 1e-12: "p", 1e-15: "f"}
    size = next((size for size in sizes if value >= size), 1e-15)
    return f"{value / size:.3g} {sizes[size]}{unit}"
