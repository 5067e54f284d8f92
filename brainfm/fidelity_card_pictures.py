"""Pictures of a fidelity card: measures by band beside the baselines, and maps over the head.

Shapes: C sensors, T samples, M places on the head.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.fidelity import Reconstructed
from brainfm.fidelity_card_numbers import CODES, QUANTILES
from brainfm.fidelity_measures import MEASURES, WHOLE
from brainfm.frequency_bands import BANDS, band_signal, limited_band
from brainfm.report_sensors import fit_head, unroll
from brainfm.report_style import ORIGINAL, QUIET, SIGNED_MAP, TYPE_COLOURS, new_figure
from brainfm.sensors import SensorArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_PLACES = 8
MAP_RANGE_DB = 6.0
DRAWN = (
    "correlation",
    "error",
    "snr_db",
    "phase_deg",
    "topography_error",
    "amplitude_error",
)


def measures_figure(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw the measures of one group and sensor type in every band, beside the baselines.

    ``rows`` are those of :func:`~brainfm.fidelity_card_numbers.group_numbers`, one a band.
    """
    bands = [band for band in (WHOLE, *BANDS) if any(row["band"] == band for row in rows)]
    by_band = {row["band"]: row["measures"] for row in rows}
    colour = TYPE_COLOURS[rows[0]["sensor_type"]]
    with new_figure(5.4) as figure:
        panels: Any = figure.subplots(2, 3)
        for axes, name in zip(panels.flat, DRAWN, strict=True):
            held = [k for k, band in enumerate(bands) if name in by_band[band]]
            entries = [by_band[bands[k]][name] for k in held]
            axes.set_title(MEASURES[name].label)
            axes.axhline(MEASURES[name].silent, color=QUIET, ls="--", lw=1, label="predicting zero")
            for estimate, style in (
                (QUANTILES, {"color": ORIGINAL, "marker": "s", "alpha": 0.55}),
                (CODES, {"color": colour, "marker": "o"}),
            ):
                _draw_estimates(axes, held, [entry[estimate] for entry in entries], style, estimate)
            axes.set_xticks(range(len(bands)), [band.replace(" ", "\n") for band in bands])
            axes.set_xlim(-0.5, len(bands) - 0.5)
            if not held:
                axes.text(0.5, 0.5, "too few channels", transform=axes.transAxes, ha="center")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=3)
    return figure


def _draw_estimates(
    axes: "Axes", places: list[int], entries: list[Mapping[str, Any]], style: Any, estimate: str
) -> None:
    if not places:
        return
    values = np.array([entry["value"] for entry in entries])
    low, high = np.array([entry["interval"] for entry in entries]).T
    # The whole signal is no band: no line leads from it to the first one.
    at = np.array(places, float)
    shift = 0.1 if estimate == CODES else -0.1
    label = {CODES: "codes", QUANTILES: "fixed quantiles, as many bits"}[estimate]
    spread = np.maximum(0, [values - low, high - values])
    axes.errorbar(at + shift, values, spread, ls="none", ms=5, lw=1.4, label=label, **style)
    lines = at > 0
    axes.plot(at[lines] + shift, values[lines], lw=1, color=style["color"], alpha=0.5)


def places_of(sensors: SensorArray, kind: str) -> list[NDArray[np.int64]]:
    """Return the sensors of a type at each place: planar gradiometers come in pairs."""
    chosen = np.flatnonzero(sensors.types == kind)
    rounded = np.round(sensors.positions[chosen], 3)
    _, first, place = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    return [chosen[place.reshape(-1) == k] for k in np.argsort(np.argsort(first))]


class PowerMap(NamedTuple):
    """Power over the head (M,) of ``original`` and ``through`` the codes, and their ``level``, dB.

    Each map is relative to its own median over places; the level is the median of the second
    relative to that of the first.
    """

    original: NDArray[np.float64]
    through: NDArray[np.float64]
    level: float


def power_maps(result: Reconstructed, kind: str, lowpass: float) -> dict[str, PowerMap]:
    """Return the power of a sensor type in every band; that of sensors at one place is added."""
    places = places_of(result.sensors, kind)
    maps: dict[str, PowerMap] = {}
    for band, edges in BANDS.items():
        limits = limited_band(*edges, sfreq=result.sfreq, lowpass=lowpass)
        if limits is None:
            continue
        powers = [
            sum((band_signal(piece, limits, result.sfreq) ** 2).sum(-1) for piece in pieces)
            for pieces in (result.original, result.reconstruction)
        ]
        # A silent reconstruction has a flat map far below.
        decibels = [
            10 * np.log10(np.array([power[place].sum() for place in places]) + 1e-12)
            for power in powers
        ]
        original, through = (float(np.median(values)) for values in decibels)
        maps[band] = PowerMap(decibels[0] - original, decibels[1] - through, through - original)
    return maps


def topography_figure(result: Reconstructed, kind: str, lowpass: float) -> "Figure | None":
    """Draw the power of original and reconstruction over the head in every band.

    None where there are too few places for a map.
    """
    from mne.viz import plot_topomap

    places = places_of(result.sensors, kind)
    if len(places) < MIN_PLACES:
        return None
    maps = power_maps(result, kind, lowpass)
    first = np.array([place[0] for place in places])
    flat = unroll(result.sensors.positions[first], fit_head(result.sensors))
    with new_figure(4.4) as figure:
        panels: Any = figure.subplots(2, len(maps), squeeze=False)
        for column, (band, found) in zip(panels.T, maps.items(), strict=True):
            both = (found.original, found.through)
            for axes, values in zip(column, both, strict=True):
                image, _ = plot_topomap(
                    values,
                    flat,
                    axes=axes,
                    show=False,
                    cmap=SIGNED_MAP,
                    vlim=(-MAP_RANGE_DB, MAP_RANGE_DB),
                    sphere=(0.0, 0.0, 0.0, 1.0),
                    extrapolate="local",
                    contours=4,
                )
            r = np.corrcoef(*both)[0, 1] if all(v.std() > 0 for v in both) else 0.0
            column[0].set_title(band, loc="center")
            column[1].set_xlabel(f"r = {r:.2f}\nlevel {found.level:+.1f} dB")
        for axes, name in zip(panels[:, 0], ("original", "through\nthe codes"), strict=True):
            axes.set_ylabel(name)
        figure.colorbar(image, ax=panels, label="power (dB)", fraction=0.02, pad=0.02)
    return figure
