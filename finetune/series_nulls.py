"""What is found where prediction and truth cannot belong together, and what every region shows.

Shapes: N volumes, V of them in a part, R regions, K draws of a null.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from brainfm.sensors import FloatArray

from .decoded_run import DecodedRun
from .evaluation_curves import per_output
from .evaluation_scores import ScoringConfig
from .series_measures import LEAST_VOLUMES, N_SHIFTS, Series, mean_r, region_r, tail

OTHER_SUBJECT = "another subject's recording"


def series_details(run: DecodedRun, cfg: ScoringConfig) -> dict[str, Any]:
    """Return every region's r with q over regions, and the nulls of the whole."""
    series = Series.of(run)
    regions = per_output(run, cfg)
    for region, (p, q) in zip(regions, region_tests(series, cfg), strict=True):
        region |= {"p": p, "q": q}
    return {"outputs": regions, "nulls": nulls_of(run, series, cfg)}


def region_tests(series: Series, cfg: ScoringConfig) -> list[tuple[float | None, float | None]]:
    """Return p of every region by turns of the truth, and q over regions.

    q: Benjamini and Hochberg's false discovery rate.
    """
    from scipy.stats import false_discovery_control

    generator = cfg.generator()
    true = _over_parts(series, series.truth)
    null = np.stack([_over_parts(series, series.turned(generator)) for _ in range(N_SHIFTS)])
    known = np.flatnonzero(np.isfinite(true))
    p = np.array([tail(float(true[k]), null[:, k]) for k in known])
    found: list[tuple[float | None, float | None]] = [(None, None)] * len(true)
    if len(p):
        for k, one, q in zip(known.tolist(), p, false_discovery_control(p), strict=True):
            found[k] = float(one), float(q)
    return found


def nulls_of(run: DecodedRun, series: Series, cfg: ScoringConfig) -> list[dict[str, Any]]:
    """Return the nulls: mean, 95th percentile and number of draws, and p of the run among them.

    Turned truth; truth with random phases, which keeps every region's spectrum and how regions go
    together; truth of one subject beside predictions of another. The last is left out with one
    subject, and has no p: there are as many draws as pairs of recordings.
    """
    generator = cfg.generator()
    true = _mean(series, series.truth)
    turned = np.array([_mean(series, series.turned(generator)) for _ in range(N_SHIFTS)])
    phases = np.array([_mean(series, with_phases(series, generator)) for _ in range(N_SHIFTS)])
    others = np.array(list(of_others(run, series)))
    rows = [("turned", turned), ("random phases", phases), (OTHER_SUBJECT, others)]
    return [
        {
            "name": name,
            "mean": float(np.nanmean(null)),
            "p95": float(np.nanpercentile(null, 95)),
            "n": len(null),
            "p": None if name == OTHER_SUBJECT else tail(true, null),
        }
        for name, null in rows
        if np.isfinite(null).any()
    ]


def with_phases(series: Series, generator: np.random.Generator) -> FloatArray:
    """Return the truth (N, R) with random phases, the same for all regions of a part."""
    found = series.truth.copy()
    for members in series.parts:
        n = len(members)
        spectrum = np.fft.rfft(series.truth[members], axis=0)
        turn = np.exp(2j * np.pi * generator.random((len(spectrum), 1)))
        turn[0] = 1.0
        if n % 2 == 0:
            turn[-1] = 1.0  # must stay real
        found[members] = np.fft.irfft(spectrum * turn, n, axis=0)
    return found


def of_others(run: DecodedRun, series: Series) -> Iterator[float]:
    """Yield r of one subject's prediction with another's truth, for all pairs of parts.

    Volumes are paired by their number; what one part has more is left out.
    """
    for k, mine in enumerate(series.parts):
        for other in series.parts[:k] + series.parts[k + 1 :]:
            n = min(len(mine), len(other))
            if run.subjects[mine[0]] == run.subjects[other[0]] or n < LEAST_VOLUMES:
                continue
            yield mean_r(series.output[mine[:n]], series.truth[other[:n]])


def _mean(series: Series, truth: FloatArray) -> float:
    values = np.array([mean_r(series.output[m], truth[m]) for m in series.parts])
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _over_parts(series: Series, truth: FloatArray) -> FloatArray:
    """Return r of every region (R,), mean over parts by their volumes; NaN where unknown."""
    each = np.stack([region_r(series.output[m], truth[m]) for m in series.parts])
    weight = np.isfinite(each) * np.array([len(m) for m in series.parts])[:, None]
    total = weight.sum(0)
    return np.asarray(
        np.where(total > 0, (np.nan_to_num(each) * weight).sum(0) / total.clip(1), np.nan)
    )
