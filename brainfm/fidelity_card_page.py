"""The sections of a fidelity card."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.fidelity import Reconstructed, fidelity_of
from brainfm.fidelity_card_numbers import CODES, Measured, total_counts
from brainfm.fidelity_card_pictures import measures_figure, topography_figure
from brainfm.fidelity_card_tables import (
    DEFINITIONS,
    amount,
    band_table,
    group_title,
    number_text,
    rows_by_group,
    statements,
    whole_table,
)
from brainfm.fidelity_measures import MEASURES, WHOLE
from brainfm.geometry_drift import measure_drift
from brainfm.report_bands import band_figure
from brainfm.report_codes import usage_figure, usage_table
from brainfm.report_page import Entry, Page, html_list, html_table
from brainfm.report_reconstruction import reconstruction_figure
from brainfm.report_style import label_of
from brainfm.report_summary import data_table


def summary_entries(numbers: Mapping[str, Any]) -> list[Entry]:
    """Return the first section."""
    section = "Summary"
    rate = numbers["codes"]
    lines = [
        *statements(numbers),
        f"{rate['bits_per_second']:g} bits a second at most, {rate['used_bits_per_second']:.0f} by "
        "the entropy of each level's codes.",
    ]
    rows = [row for row in numbers["groups"] if row["band"] == WHOLE]
    definitions = html_table(("what", "how it is measured"), list(DEFINITIONS.items()))
    text = html_list(lines) + whole_table(rows)
    entries = [Entry(section, "Fidelity of the whole signal", text, "")]
    entries.append(Entry(section, "Data", data_table(numbers["data"]), ""))
    entries.append(Entry(section, "How it is measured", definitions, ""))
    if numbers["left_out"]:
        left = [f"{name}: {reason}" for name, reason in numbers["left_out"].items()]
        entries.append(Entry(section, "Left out", html_list(left), ""))
    return entries


def add_groups(page: Page, groups: Sequence[Mapping[str, Any]]) -> None:
    """Show every measure of every group by band, as pictures."""
    name, by_group = "Fidelity by frequency band", rows_by_group(groups)
    for measure, limits, decimals in (
        ("correlation", (0.0, 1.0), 2),
        ("phase_deg", (0.0, 90.0), 0),
    ):
        table = []
        for (side, array, kind), rows in by_group.items():
            values = {
                row["band"]: row["measures"][measure][CODES]["value"]
                for row in rows
                if measure in row["measures"]
            }
            label = f"{side}: {array.split(',')[0]} {rows[0]['n_channels']}"
            table.append((label, kind, values))
        figure = band_figure(
            table,
            label=MEASURES[measure].label,
            limits=limits,
            high_is_good=limits[0] == MEASURES[measure].silent,
            decimals=decimals,
        )
        caption = "Of the codes; every band ends at the low-pass of the recording."
        page.add(name, f"All groups: {MEASURES[measure].label}", figure, caption)
    for (side, array, _), rows in by_group.items():
        title = f"{side}: {group_title(rows[0])}"
        page.add(name, title, measures_figure(rows), f"{array}. {amount(rows[0])}.")


def add_tables(page: Page, groups: Sequence[Mapping[str, Any]]) -> None:
    """Show every measure of every group by band as a table."""
    for (side, _, _), rows in rows_by_group(groups).items():
        page.add("All numbers", f"{side}: {group_title(rows[0])}", band_table(rows))


def add_example(page: Page, one: Measured, result: Reconstructed) -> None:
    """Show waveforms, spectra and maps of a recording."""
    info, side = one.shown.info, one.shown.side or "all"
    rows = fidelity_of(result, info.id)
    title = f"{side}: {info.id}"
    page.add(
        "Waveforms and spectra",
        title,
        reconstruction_figure(result, rows, one.lowpass),
        "The excerpt is the one of median correlation; channels are spread over the head.",
    )
    for kind in result.types():
        name = "Topographies"
        figure = topography_figure(result, kind, one.lowpass)
        if figure is None:
            page.leave_out(
                f"{name} of {info.id}, {label_of(kind, 2)}", "too few channels for a map"
            )
            continue
        page.add(
            name,
            f"{title}, {label_of(kind, 2)}",
            figure,
            "Power in each band, dB, each map relative to its own median over the head"
            + (", both gradiometers of a place added" if kind == "planar" else "")
            + ". Below: correlation of the two maps, and the median of the second relative to that "
            "of the first.",
        )


def add_usage(page: Page, found: Sequence[Measured], rate: Mapping[str, Any]) -> None:
    """Show how often each code occurs in what was measured."""
    name, counts = "Code usage", total_counts(found)
    caption = (
        f"{rate['n_tokens']:,} tokens of the recordings measured here; {rate['bits_per_second']:g} "
        "bits a second."
    )
    page.add(name, "How often each code occurs", usage_figure(counts), caption)
    page.add(name, "Levels", usage_table(rate["levels"], counts.shape[1]))


def add_drift(
    page: Page, encoder: Encoder, corpus: Corpus, examples: Sequence[Measured]
) -> list[dict[str, Any]]:
    """Show how far the output moves when sensors are not where they are said to be.

    Returns
    -------
    list of dict
        :class:`~brainfm.geometry_drift.Drift` of every example and change, as JSON values.
    """
    name = "Geometry drift"
    found = [drift for one in examples for drift in measure_drift(encoder, corpus, one.shown.place)]
    if not found:
        page.leave_out(name, "no window without flagged seconds")
        return []
    rows = [
        (
            drift.recording,
            drift.change,
            number_text(drift.latent_distance),
            *(f"{100 * share:.0f} %" for share in drift.codes_changed),
            number_text(drift.reconstruction_correlation),
            f"{number_text(drift.fidelity)} ({number_text(drift.fidelity_before)})",
        )
        for drift in found
    ]
    levels = [f"codes changed, level {k}" for k in range(1, len(found[0].codes_changed) + 1)]
    header = ("recording", "what the model is told wrongly", "latents move by", *levels)
    note = (
        f"<p>The signals stay as they are; mean over {found[0].n_draws} random changes. Latents "
        "have length 1: 0 equal, 1.41 unrelated. Same waveform: correlation of the reconstructions "
        "with and without the change. Fidelity: correlation with the original, in brackets without "
        "the change.</p>"
    )
    table = html_table((*header, "same waveform", "fidelity"), rows)
    page.add(name, "Sensors elsewhere, or missing", note + table)
    return [asdict(drift) for drift in found]
