"""The page of an evaluation, from its numbers and what its run has kept."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from brainfm.report_page import Entry, Page, html_list, html_table

from .decoded_run import DecodedRun
from .evaluation_pictures import (
    averaging_figure,
    beside_figure,
    calibration_figure,
    confusion_figure,
    n_way_figure,
    outputs_figure,
    subjects_figure,
)
from .evaluation_tables import (
    averaged_words,
    beside_table,
    data_table,
    errors_table,
    examples_table,
    score_table,
    series_table,
)
from .run_controls import spoken
from .sensor_maps import add_sensor_maps

Numbers = Mapping[str, Any]
MAX_LINES = 40
"""Most notes of one kind that are listed."""


def evaluation_page(numbers: Numbers, run: DecodedRun) -> Page:
    """Return the page of an evaluated run, its verdict first.

    Parameters
    ----------
    numbers
        Content of ``evaluation.json``.
    run
        What was evaluated; its folder has the pictures that were shown, and the decoders.
    """
    page = Page()
    page.left_out |= numbers["left_out"]
    page.entries.append(summary_entry(numbers))
    add_scores(page, numbers)
    add_details(page, numbers, run.record.ids)
    add_kept(page, numbers, run)
    add_sensor_maps(page, numbers["sensor_maps"])
    page.add("Data", "What was decoded, and how it was divided", data_table(numbers))
    missing = {spoken(name): why for name, why in numbers["not_compared"].items()}
    missing |= page.left_out
    if missing:
        lines = [f"{name}: {why}" for name, why in missing.items()]
        page.add("Left out", "Not compared, not drawn", html_list(lines[:MAX_LINES]))
    return page


def title_of(numbers: Numbers) -> str:
    """Return the title of the page."""
    return f"{'Synthetic data: ' if numbers['synthetic'] else ''}{numbers['name']}"


def add_kept(page: Page, numbers: Numbers, run: DecodedRun) -> None:
    """Add what is drawn from other files of the run than its numbers."""
    if run.record.kind == "retrieval":
        from .retrieved_pictures import add_retrieved_pictures

        add_retrieved_pictures(page, numbers["details"]["examples"], run.path)
    if run.record.series:
        from .bold_report import add_bold_pictures

        add_bold_pictures(page, run)


def summary_entry(numbers: Numbers) -> Entry:
    """Return the first section: the verdict, then what a reader must know beside it."""
    good = numbers["above_controls"]
    colour = "#1b7837" if good else "#b2182b"
    style = f"font-size:1.15rem;font-weight:600;color:{colour}"
    text = f'<p style="{style}">{escape(numbers["verdict"])}</p>'
    lines = [
        *(f"warning: {line}" for line in numbers["warnings"]),
        *([numbers["baselines_line"]] if numbers["baselines_line"] else []),
        f"{numbers['n_test_trials']} test trials of {numbers['n_subjects']} "
        f"subject{'' if numbers['n_subjects'] == 1 else 's'} in "
        f"{numbers['n_folds']} folds, divided by {numbers['split_by']}; {averaged_words(numbers)}",
        numbers["overlap"] or "overlap with pretraining: not recorded",
    ]
    if numbers["synthetic"]:
        lines.insert(0, "the recordings are synthetic: nothing here says anything of a brain")
    return Entry("Summary", "Verdict", text + html_list(lines), "")


def add_scores(page: Page, numbers: Numbers) -> None:
    """Add tables and pictures of scores, controls and subjects."""
    page.add("Scores", "All measures", score_table(numbers["scores"]))
    if numbers["controls"] or numbers["baselines"]:
        page.add("Controls", "Beside the run", beside_figure(numbers), "Small points: subjects.")
        page.add("Controls", "Differences", beside_table(numbers))
    main = numbers["scores"][0]
    if len(main["subjects"]) > 1:
        caption = f"{main['name']} of each subject's test trials."
        page.add("Subjects", "Every subject", subjects_figure(main), caption)


def add_details(page: Page, numbers: Numbers, ids: Sequence[str]) -> None:
    """Add what the kind of the run has besides scores."""
    details = numbers["details"]
    if details.get("modalities"):
        page.add("Scores", "Every modality by itself", score_table(details["modalities"]))
    if "confusion" in details:
        caption = "Numbers are trials; colours are shares of a row."
        page.add("Classes", "Confusions", confusion_figure(details["confusion"], ids), caption)
        figure = calibration_figure(details["calibration"])
        page.add("Classes", "Calibration", figure, "Size of a point: number of trials.")
    if details.get("n_way"):
        page.add("Retrieval", "Identification among n", n_way_figure(details["n_way"]))
    averaging = details.get("averaging", {})
    if any(averaging.values()):
        caption = (
            "Similarities (logarithms of probabilities, of classes) of k presentations of the same "
            "content are averaged; all points are of the same contents."
        )
        section = "Retrieval" if "n_way" in details else "Classes"
        page.add(section, "Averaging presentations", averaging_figure(averaging), caption)
    elif "averaging" in details:
        page.leave_out("averaging curve", "nothing was presented twice")
    if details.get("errors"):
        page.add("Retrieval", "Within and across wholes", errors_table(details["errors"]))
    if details.get("examples"):
        page.add("Retrieval", "Best and worst", examples_table(details["examples"]))
    if details.get("outputs"):
        page.add("Outputs", "Correlation of each output", outputs_figure(details["outputs"]))
    if details.get("nulls"):
        page.add("Outputs", "Regions and nulls", series_table(details))
    if details.get("texts"):
        rows = [(one["truth"], one["decoded"]) for one in details["texts"]]
        page.add("Texts", "Some of the texts", html_table(("true", "decoded"), rows))
