"""What a fidelity card says: sentences, definitions and tables.

Rows are those of :func:`brainfm.fidelity_card_numbers.group_numbers`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from brainfm.fidelity_card_numbers import CODES, QUANTILES, SILENCE
from brainfm.fidelity_measures import MEASURES, WHOLE
from brainfm.report_page import html_table
from brainfm.report_style import label_of
from brainfm.report_summary import split_statements

NAMES = {CODES: "codes", QUANTILES: "fixed quantiles", SILENCE: "predicting zero"}
SHORT = ("correlation", "error", "snr_db", "topography_error", "amplitude_ratio")
"""Measures of the summary."""

DEFINITIONS = {
    "correlation": "Pearson's r over time of each channel and window of original and "
    "reconstruction, mean. Right: 1.",
    "relative error": "Sum of absolute differences over the sum of absolute values of the "
    "original. Right: 0; predicting zero: 1.",
    "signal-to-noise (dB)": "Power of the original over power of the difference. Predicting zero: "
    "0; held at 60.",
    "phase error (degrees)": "Absolute angle between the analytic signals (Hilbert) of the "
    "band-passed original and reconstruction, on the circle, weighted by the original's magnitude. "
    "Right: 0; chance and predicting zero: 90; inverted: 180.",
    "topography error": "One minus the correlation over channels at each time, weighted by the "
    "strength of the original's pattern. Right: 0; chance and predicting zero: 1. At least three "
    "channels.",
    "amplitude error |ln ratio|": "Absolute logarithm of the ratio of standard deviations of each "
    "channel and window, mean. Right: 0; half or twice the amplitude: 0.69; held at 4.6 (a "
    "hundredth), which predicting zero gets.",
    "amplitude ratio": "The same with its direction: geometric mean of reconstruction over "
    "original. Right: 1.",
    "fixed quantiles": "The baseline that has learned nothing: as many bits a second as the codes, "
    "spent in equal parts on the channels; each is cut off in frequency and rounded to quantiles "
    "of its own recording (best of 1 to 4 bits a sample; its tables are not counted).",
    "bands": "Butterworth of order 4, forth and back, on runs of windows; a band ends at the "
    "recording's low-pass, and is left out where less than a quarter octave of it remains. 'all': "
    "the signal as it is, about 0.1 Hz to the low-pass.",
}


def statements(numbers: Mapping[str, Any]) -> list[str]:
    """Return what was measured on whom, and what it means."""
    lines = split_statements(numbers["data"])
    if numbers["split_of_training"] is False:
        lines.append(
            "The checkpoint was trained with another split than this one: recordings held out here "
            "may have been trained on."
        )
    over = sorted({row["interval_over"] for row in numbers["groups"]})
    lines.append(
        f"95 % intervals: bootstrap over {' or '.join(over)} (named in each row); over subjects or "
        "recordings where a group has three or more, else over windows, and then they say nothing "
        "about other people."
    )
    for baseline in (QUANTILES, SILENCE):
        rows = [row["measures"] for row in numbers["groups"] if row["band"] == WHOLE]
        better = sum(_better(row, "correlation", baseline, +1) for row in rows)
        less = sum(_better(row, "error", baseline, -1) for row in rows)
        lines.append(
            f"Against {NAMES[baseline]}: correlation is higher, beyond its interval, in {better} "
            f"and the error lower in {less} of {len(rows)} groups and sensor types."
        )
    return lines


def _better(measures: Mapping[str, Any], name: str, baseline: str, sign: int) -> bool:
    if name not in measures:
        return False
    edge = measures[name][CODES]["interval"][0 if sign > 0 else 1]
    return bool(sign * edge > sign * measures[name][baseline]["value"])


def rows_by_group(
    groups: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str, str], list[Mapping[str, Any]]]:
    """Return the rows, one a band, of every side, sensor array and sensor type."""
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in groups:
        found.setdefault((row["side"], row["array"], row["sensor_type"]), []).append(row)
    return found


def whole_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the fidelity of the whole signal as HTML, a line for every group and sensor type."""
    with_interval = ("correlation", "error")
    header = ["side", "sensors", "subjects / recordings / windows"]
    for name in SHORT:
        header += [MEASURES[name].label, *(("95 %",) if name in with_interval else ())]
    header.append("interval over")
    lines = []
    for row in rows:
        counts = [str(row[f"n_{what}"]) for what in ("subjects", "recordings", "windows")]
        cells = [row["side"], group_title(row), " / ".join(counts)]
        for name in SHORT:
            entry = row["measures"].get(name)
            text = "–"
            if entry:
                own, other = (number_text(entry[name]["value"]) for name in (CODES, QUANTILES))
                text = f"{own} ({other})"
            cells.append(text)
            if name in with_interval:
                cells.append("[{:.2f}, {:.2f}]".format(*entry[CODES]["interval"]) if entry else "–")
        lines.append((*cells, row["interval_over"]))
    note = "<p>In brackets behind a value: fixed quantiles at as many bits a second.</p>"
    return note + html_table(header, lines)


def band_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return every measure of one group and sensor type as HTML, a column for every band."""
    lines = []
    for name, measure in MEASURES.items():
        held = [row["measures"].get(name) for row in rows]
        if not any(held):
            continue
        digits = 0 if measure.silent > 10 else 2
        silent = f"{measure.silent:.{digits}f}"
        for estimate, column in ((CODES, "value"), (CODES, "interval"), (QUANTILES, "value")):
            title = "95 %" if column == "interval" else NAMES[estimate]
            cells = [_cell(entry and entry[estimate][column], digits) for entry in held]
            first = (estimate, column) == (CODES, "value")
            lines.append((measure.label if first else "", title, *cells, silent if first else ""))
    header = ("measure", "of", *(row["band"] for row in rows), NAMES[SILENCE])
    return html_table(header, lines)


def group_title(row: Mapping[str, Any]) -> str:
    """Return device, sensors and whether training had such a device."""
    new = " (device not in training)" if row["device_in_training"] is False else ""
    n = row["n_channels"]
    return f"{row['array'].split(',')[0]}, {n} {label_of(row['sensor_type'], n)}{new}"


def amount(row: Mapping[str, Any]) -> str:
    """Return on how much a row was measured."""
    parts = []
    for what in ("subject", "recording", "window"):
        n = row[f"n_{what}s"]
        parts.append(f"{n} {what}{'' if n == 1 else 's'}")
    return f"{', '.join(parts)}; interval over {row['interval_over']}"


def number_text(value: float | None, digits: int = 2) -> str:
    """Return a number as it is shown; no minus before a zero, a dash for none."""
    zero = f"{0:.{digits}f}"
    text = "–" if value is None else f"{value:.{digits}f}"
    return zero if text == f"-{zero}" else text


def _cell(value: float | Sequence[float] | None, digits: int) -> str:
    if isinstance(value, Sequence):
        return f"[{', '.join(number_text(edge, digits) for edge in value)}]"
    return number_text(value, digits)
