"""Tables of an evaluation as HTML, all of its numbers (``evaluation.json``)."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainfm.report_page import html_table

from .run_controls import spoken

Numbers = Mapping[str, Any]
MAX_ID = 24
"""Most letters of a content id that are shown."""


def score_table(scores: Sequence[Numbers]) -> str:
    """Return every measure with chance, p and interval, as HTML."""
    header = (
        "measure",
        "value",
        "95 %",
        "interval over",
        "chance",
        "shuffled",
        "p",
        "gallery",
        "trials",
        "note",
    )
    rows = []
    for one in scores:
        gallery = one.get("gallery_size")
        size = "" if not gallery else "–".join(dict.fromkeys(str(n) for n in gallery))
        over = f"{one['n_units']} {one['over']}" if one["n_units"] else ""
        rows.append(
            (
                one["name"],
                number(one["value"]),
                interval(one["interval"]),
                over,
                number(one["chance"]),
                number(one["null_mean"]),
                number(one["p_value"], 4),
                size,
                str(one["n_trials"]),
                one["note"],
            )
        )
    permutations = max(one["n_permutations"] for one in scores)
    note = (
        "<p>Values are means over subjects. 95 %: bootstrap percentiles, their distance from the "
        "value stretched for the number of units as Student's t. p: one-sided, of "
        f"{permutations} permutations of the targets within recording and fold, unless the note "
        "says otherwise; their mean is in the column 'shuffled'.</p>"
    )
    return note + html_table(header, rows)


def beside_table(numbers: Numbers) -> str:
    """Return controls and baselines with what the run has more, as HTML."""
    rows = []
    for where in ("controls", "baselines"):
        for name, one in numbers[where].items():
            gap = one["run_minus_it"]
            rows.append(
                (
                    where[:-1],
                    spoken(name),
                    number(one["score"]["value"]),
                    interval(one["score"]["interval"]),
                    number(one["score"]["p_value"], 4),
                    number(gap["value"]),
                    interval(gap["interval"]),
                    f"{gap['n_units']} {gap['over']}",
                    number(gap["p_value"], 4),
                    f"{gap['p_units']} {gap['p_over']}",
                )
            )
    header = ("what", "name", numbers["scores"][0]["name"], "95 %", "p against chance")
    more = ("run better by", "95 %", "over", "p (sign flips)", "flipped")
    table = html_table((*header, *more), rows)
    if "shuffled" not in numbers["controls"]:
        return table
    return table + (
        "<p>shuffled: one shuffle of the training targets. Where signals differ strongly in one "
        "way, it can be off chance in either direction; over many shuffles it would not.</p>"
    )


def errors_table(errors: Numbers) -> str:
    """Return two-way identification within and across wholes, and where errors fall, as HTML."""
    rows = [
        (f"against others {where} the same whole", number(one["value"]), interval(one["interval"]))
        for where, one in (("of", errors["within"]), ("outside", errors["across"]))
    ]
    text = html_table(("identification of two (chance 0.5)", "value", "95 %"), rows)
    if "errors_in_same_whole" in errors:
        text += (
            f"<p>Of {errors['n_errors']} errors {errors['errors_in_same_whole']:.1%} name another "
            f"part of the same whole; of random errors {errors['expected_of_random_errors']:.1%} "
            "would.</p>"
        )
    return text


def examples_table(examples: Sequence[Numbers]) -> str:
    """Return trials with the first of their galleries, as HTML."""
    rows = [
        (
            one["which"],
            f"{one['recording']}, {one['onset']:.2f} s",
            one["truth"][:MAX_ID],
            f"{one['rank']:g} of {one['gallery_size']}",
            ", ".join(f"{m['id'][:MAX_ID]} ({m['similarity']:.2f})" for m in one["first"]),
        )
        for one in examples
    ]
    return html_table(("", "trial", "true content", "rank", "first of the gallery"), rows)


def series_table(details: Numbers) -> str:
    """Return r of every region with p and q, and the nulls of the whole, as HTML."""
    regions = [
        (one["name"], number(one["r"]["value"]), number(one["p"], 4), number(one["q"], 4))
        for one in details["outputs"]
    ]
    nulls = [
        (one["name"], number(one["mean"]), number(one["p95"]), str(one["n"]), number(one["p"], 4))
        for one in details["nulls"]
    ]
    note = (
        "<p>Truth turned within recording and fold by at least 30 s, with random phases, or of "
        "another subject; r of the run's predictions with it. q: false discovery rate over "
        "regions.</p>"
    )
    header = ("in the place of the truth", "mean r", "95th percentile", "draws", "p of the run")
    return note + html_table(header, nulls) + html_table(("region", "r", "p", "q"), regions)


def data_table(numbers: Numbers) -> str:
    """Return split, audit and software as HTML."""
    shared = sum(numbers["stimuli_shared_with_training"])
    rows = [
        ("recordings", "synthetic" if numbers["synthetic"] else "real"),
        ("divided by", numbers["split_by"]),
        ("digest of the trial split", numbers["trial_split_digest"]),
        ("contents on the test side that training has too, all folds", str(shared)),
        ("audit", numbers["audit"]),
        ("a trial is", averaged_words(numbers)),
        ("seed", str(numbers["seed"])),
        *((f"software: {name}", str(version)) for name, version in numbers["software"].items()),
    ]
    return html_table(("what", ""), rows)


def averaged_words(numbers: Numbers) -> str:
    """Return how many presentations a trial is, in words; older evaluations are of one."""
    few, most = numbers.get("presentations_averaged", [1, 1])
    if most == 1:
        return "one presentation each"
    return f"each the average of {most if few == most else f'{few} to {most}'} presentations"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as it is shown; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(edges: Sequence[float] | None) -> str:
    """Return an interval as it is shown."""
    return "–" if not edges else f"[{edges[0]:.3f}, {edges[1]:.3f}]"
