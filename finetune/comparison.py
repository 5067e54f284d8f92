"""Comparison of runs on the same trials: paired differences, corrected for their number."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainfm.atomic import write_json_atomic
from brainfm.config_json import to_json
from brainfm.report_page import Page, html_list, html_table
from brainfm.report_style import ORIGINAL, QUIET, TYPE_COLOURS, new_figure

from .decoded_run import load_run
from .evaluation_numbers import FORMAT, check_same_trials, refuse_leaks
from .evaluation_scores import ScoringConfig, json_value, paired_difference, score_measure
from .evaluation_tables import interval, number
from .measures import choose_main, measures_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHA = 0.05
COMPARISON_FILE, COMPARISON_PAGE = "comparison.json", "comparison.html"


def compare_runs(
    paths: Sequence[Path], cfg: ScoringConfig, *, metric: str | None = None
) -> dict[str, Any]:
    """Return the scores of runs and the paired difference of every two, as JSON values.

    Parameters
    ----------
    paths
        Folders of two or more finished runs.
    cfg
        Permutations and resamples.
    metric
        What they are compared by; None: the main measure of the first.

    Raises
    ------
    ValueError
        Fewer than two runs, one was found to leak, or they are not of the same trials and sides.
    """
    if len(set(map(Path.resolve, paths))) < 2:
        raise ValueError("a comparison needs at least two different runs")
    runs = [load_run(path) for path in paths]
    for run in runs:
        refuse_leaks(run)
    for other in runs[1:]:
        check_same_trials(runs[0], other)
    first = choose_main(measures_of(runs[0]), metric)[0]
    name = first.metric.name
    main = [first, *(choose_main(measures_of(run), name)[0] for run in runs[1:])]
    names = _names([run.record.name for run in runs], paths)
    pairs = [
        (a, b, paired_difference(runs[0], main[a], main[b], cfg))
        for a, b in combinations(range(len(runs)), 2)
    ]
    corrected = holm([difference.p_value for *_, difference in pairs])
    scores = {
        label: to_json(score_measure(run, measure, cfg))
        for label, run, measure in zip(names, runs, main, strict=True)
    }
    found = [
        {
            "first": names[a],
            "second": names[b],
            **to_json(difference),
            "p_holm": p,
            "differ": p is not None and p < ALPHA,
        }
        for (a, b, difference), p in zip(pairs, corrected, strict=True)
    ]
    values: dict[str, Any] = json_value(
        {
            "format": FORMAT,
            "metric": name,
            "higher_is_better": first.metric.higher_is_better,
            "synthetic": any(run.record.synthetic for run in runs),
            "trial_split_digests": {
                label: run.split.digest for label, run in zip(names, runs, strict=True)
            },
            "overlap": {label: run.record.overlap for label, run in zip(names, runs, strict=True)},
            "scores": scores,
            "differences": found,
        }
    )
    return values


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number (Holm 1979); None stays None.

    The k-th smallest of m is multiplied by m - k + 1, and none is less than one before it.
    """
    there = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for k, (p, place) in enumerate(there):
        largest = max(largest, min(1.0, p * (len(there) - k)))
        found[place] = largest
    return found


def statement(one: Mapping[str, Any], metric: str) -> str:
    """Return a difference in words."""
    gap = f"{abs(one['value']):.3g} in {metric}" if one["value"] is not None else "nothing"
    edges = f" {interval(one['interval'])}" if one["interval"] else ""
    p = "" if one["p_holm"] is None else f", p = {one['p_holm']:.3g} (Holm)"
    if not one["differ"]:
        return f"{one['first']} and {one['second']} are not told apart: {gap}{edges}{p}"
    first, second = one["first"], one["second"]
    better, worse = (first, second) if one["value"] > 0 else (second, first)
    return f"{better} is better than {worse} by {gap}{edges}{p}"


def write_comparison(values: Mapping[str, Any], page: Path, numbers: Path) -> None:
    """Write the page and the numbers; their folders are made if missing."""
    for path in (page, numbers):
        path.parent.mkdir(parents=True, exist_ok=True)
    comparison_page(values).write(page, comparison_title(values))
    write_json_atomic(numbers, dict(values))


def comparison_title(values: Mapping[str, Any]) -> str:
    """Return the title of the page."""
    return f"{'Synthetic data: ' if values['synthetic'] else ''}comparison of runs"


def comparison_page(values: Mapping[str, Any]) -> Page:
    """Return the page of what :func:`compare_runs` found."""
    page = Page()
    lines = [statement(one, values["metric"]) for one in values["differences"]]
    lines += [f"{name}: {line}" for name, line in values["overlap"].items() if line]
    if values["synthetic"]:
        lines.insert(0, "the recordings are synthetic: nothing here says anything of a brain")
    page.add("Comparison", "What differs", html_list(lines))
    page.add("Comparison", "Scores", _score_rows(values))
    page.add("Comparison", "Beside each other", _figure(values), "Small points: subjects, joined.")
    page.add("Comparison", "Every two runs", _difference_rows(values))
    digests = list(values["trial_split_digests"].items())
    page.add("Comparison", "Digests of the trial splits", html_table(("run", "digest"), digests))
    return page


def _names(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return what runs are called: their names, or their folders where names repeat."""
    if len(set(names)) == len(names):
        return list(names)
    return [f"{name} ({path})" for name, path in zip(names, paths, strict=True)]


def _score_rows(values: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            number(s["value"]),
            interval(s["interval"]),
            number(s["chance"]),
            number(s["p_value"], 4),
            f"{s['n_units']} {s['over']}",
            str(s["n_trials"]),
        )
        for name, s in values["scores"].items()
    ]
    header = ("run", values["metric"], "95 %", "chance", "p", "interval over", "trials")
    return html_table(header, rows)


def _difference_rows(values: Mapping[str, Any]) -> str:
    rows = [
        (
            one["first"],
            one["second"],
            number(one["value"]),
            interval(one["interval"]),
            f"{one['n_units']} {one['over']}",
            number(one["p_value"], 4),
            number(one["p_holm"], 4),
            f"{one['p_units']} {one['p_over']}",
        )
        for one in values["differences"]
    ]
    header = ("first", "second", "first better by", "95 %", "over", "p", "p (Holm)", "flipped")
    note = (
        "<p>Differences are of the same trials, subject by subject; intervals: bootstrap over the "
        "pairs; p: sign flips, two-sided; Holm's correction is over all rows.</p>"
    )
    return note + html_table(header, rows)


def _figure(values: Mapping[str, Any]) -> "Figure":
    """Draw the runs one above the other; lines join the values of a subject."""
    colour = TYPE_COLOURS["eeg"]
    scores = list(values["scores"].values())
    with new_figure(1.2 + 0.5 * len(scores)) as figure:
        axes = figure.subplots()
        shared = set.intersection(*(set(score["subjects"]) for score in scores))
        for who in shared:
            each = [score["subjects"][who] for score in scores]
            axes.plot(each, range(len(scores)), "-", color=QUIET, lw=0.7, alpha=0.7)
            axes.plot(each, range(len(scores)), ".", color=ORIGINAL, ms=5, zorder=4)
        for place, score in enumerate(scores):
            if score["interval"]:
                axes.plot(score["interval"], [place, place], color=colour, lw=2.5)
            if score["value"] is not None:
                axes.plot([score["value"]], [place], "o", color=colour, ms=7)
        if scores[0]["chance"] is not None:
            axes.axvline(scores[0]["chance"], color=QUIET, ls="--", lw=1, zorder=0)
        axes.set_yticks(range(len(scores)), list(values["scores"]))
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.set_xlabel(values["metric"])
    return figure
