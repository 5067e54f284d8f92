"""From a fast neural drive to slow BOLD: canonical response, finite impulse response, lags.

Everything is causal: a volume is explained by what went before it. The canonical response and its
derivatives are nilearn's (SPM's double gamma, Friston et al. 1998).

Shapes: T samples, F features, A functions of a basis, K samples of a response, V volumes, L lags,
R regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from brainfm.ridge import PENALTIES, RidgeConfig, RidgeFit, choice_errors, fit_ridge
from brainfm.sensors import FloatArray


@dataclass(frozen=True, kw_only=True)
class ResponseConfig:
    """The functions that a response to an impulse is made of.

    Parameters
    ----------
    kind
        "canonical": the double gamma, with ``derivatives``; "fir": a box for every ``width`` s, so
        that any shape can be had.
    derivatives
        Of the canonical one: 0 none, 1 by time (moves it about a second), 2 by dispersion too.
    length
        Seconds after which the response is over.
    width
        Of a box, in s.
    """

    kind: Literal["canonical", "fir"] = "canonical"
    derivatives: int = 2
    length: float = 32.0
    width: float = 2.0

    def __post_init__(self) -> None:
        if self.kind not in ("canonical", "fir"):
            raise ValueError(f"kind must be canonical or fir, got {self.kind!r}")
        if self.derivatives not in (0, 1, 2):
            raise ValueError(f"derivatives must be 0, 1 or 2, got {self.derivatives}")
        if not 0 < self.width <= self.length < np.inf:
            raise ValueError(
                f"width must lie in (0, length], got {self.width} s of {self.length} s"
            )


def response_basis(rate: float, config: ResponseConfig | None = None) -> FloatArray:
    """Return responses (A, K) at ``rate`` Hz: the canonical one has sum 1, a box too."""
    cfg = config or ResponseConfig()
    n_times = round(cfg.length * rate)
    if cfg.kind == "fir":
        box = np.floor(np.arange(n_times) / rate / cfg.width + 1e-9).astype(int)
        basis = (box == np.arange(box[-1] + 1)[:, None]).astype(np.float64)
        return np.asarray(basis / basis.sum(axis=1, keepdims=True))
    from nilearn.glm.first_level import hemodynamic_models as models

    functions = (models.spm_hrf, models.spm_time_derivative, models.spm_dispersion_derivative)
    step = {"t_r": 1 / rate, "oversampling": 1, "time_length": cfg.length}
    rows = np.stack([of(**step)[:n_times] for of in functions[: 1 + cfg.derivatives]])
    return np.asarray(rows / rows[0].sum())


def convolved(series: NDArray[Any], basis: FloatArray) -> FloatArray:
    """Return the responses (T, F * A) to series (T, F), F slowest; before the start all is zero."""
    from scipy.signal import oaconvolve

    if series.ndim != 2 or not np.isfinite(series).all():
        raise ValueError(f"series must be a finite table (T, F), got {series.shape}")
    full = oaconvolve(series.T[:, None], basis[None], axes=2)[..., : len(series)]
    return np.asarray(full.reshape(-1, len(series)).T)


def at_times(series: FloatArray, rate: float, times: NDArray[Any]) -> FloatArray:
    """Return series (T, F), whose first sample is time 0, at ``times`` (V,) in s: (V, F).

    Between samples on a straight line.

    Raises
    ------
    ValueError
        A time lies outside the series by more than a sample.
    """
    place = np.asarray(times, dtype=np.float64) * rate
    if len(place) and (place.min() < -1 or place.max() > len(series)):
        raise ValueError(
            f"volumes from {min(times):.2f} to {max(times):.2f} s lie outside a series of "
            f"{len(series) / rate:.2f} s"
        )
    place = place.clip(0, len(series) - 1)
    before = np.minimum(place.astype(np.int64), max(len(series) - 2, 0))
    part = (place - before)[:, None]
    after = np.minimum(before + 1, len(series) - 1)
    return np.asarray((1 - part) * series[before] + part * series[after])


def lag_design(
    series: FloatArray, rate: float, times: NDArray[Any], lags: Sequence[float]
) -> FloatArray:
    """Return what the series (T, F) were ``lags`` s before each volume, (V, L * F), L slowest.

    Lags are not negative; what lies before the first sample is taken as zero.
    """
    if not lags or min(lags) < 0:
        raise ValueError(f"lags must be 0 s or more, got {list(lags)}")
    parts = []
    for lag in lags:
        then = np.asarray(times, dtype=np.float64) - lag
        known = then >= 0
        parts.append(at_times(series, rate, np.where(known, then, 0.0)) * known[:, None])
    return np.concatenate(parts, axis=1)


class LagFit(NamedTuple):
    """``lag`` (R,) s chosen, ``ridge`` from the drive at that lag to each region, ``error`` (L, R).

    ``error`` is the generalised cross-validation error of every lag.
    """

    lag: FloatArray
    ridge: RidgeFit
    error: FloatArray


def fit_lags(
    series: FloatArray,
    rate: float,
    bold: NDArray[Any],
    times: NDArray[Any],
    *,
    lags: Sequence[float] = tuple(np.arange(0, 4.01, 0.25).tolist()),
    config: ResponseConfig | None = None,
) -> LagFit:
    """Find by how much each region's response is later than the canonical one.

    Parameters
    ----------
    series
        (T, F) drive, for instance band power.
    rate
        Of it, in Hz.
    bold
        (V, R).
    times
        (V,) s of the volumes.
    lags
        Candidates, in s.
    config
        The response; without derivatives unless given, since they move it too.
    """
    cfg = config or ResponseConfig(derivatives=0)
    ready = convolved(series, response_basis(rate, cfg))
    ridge = RidgeConfig(penalties=PENALTIES)
    y = torch.from_numpy(np.asarray(bold, dtype=np.float64))
    designs = [torch.from_numpy(lag_design(ready, rate, times, [lag])) for lag in lags]
    errors = torch.stack([choice_errors(x, y, ridge).amin(0) for x in designs])
    best = errors.argmin(0)
    fits = {k: fit_ridge(designs[k], y[:, best == k], ridge) for k in best.unique().tolist()}
    n_inputs, n_regions = designs[0].shape[1], y.shape[1]
    joined = RidgeFit(y.new_empty(n_inputs, n_regions), *(y.new_empty(n_regions) for _ in range(3)))
    for k, fit in fits.items():
        for whole, part in zip(joined, fit, strict=True):
            whole[..., best == k] = part
    return LagFit(np.asarray(lags)[best.numpy()], joined, errors.numpy())
