"""The numbers of a report: what data, how faithful, how well predicted, and in plain sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from brainfm.checkpoints import software_versions
from brainfm.corpus import Corpus
from brainfm.fidelity import Fidelity
from brainfm.held_out import Shown, array_name, sides_of
from brainfm.report_folder import PARTS, RunFolder
from brainfm.report_page import Entry, html_list, html_table
from brainfm.report_style import label_of
from brainfm.splits import Split
from brainfm.training_log import TrainingLog

FORMAT = 1

SPLIT_MEANING = {
    "subject": "Divided by subject: no person is on two sides.",
    "session": "Divided by session: held-out recordings are other sessions; the same people may "
    "be in training.",
    "recording": "Divided by recording: held-out files are other recordings, which may be of the "
    "same people and sessions as training. The numbers say nothing about new people.",
    "dataset": "Divided by data set: held-out recordings are of data sets that training never saw.",
}


def data_numbers(corpus: Corpus, split: Split | None) -> dict[str, Any]:
    """Return how much data each side holds and of which sensor arrays."""
    infos = list(corpus.recordings)
    sides = {}
    for side, indices in sides_of(corpus, split).items():
        members = [infos[i] for i in indices]
        sides[side or "all"] = {
            "recordings": len(members),
            "subjects": len({(info.dataset, info.subject) for info in members}),
            "hours": sum(info.duration for info in members) / 3600,
            "arrays": sorted({array_name(info) for info in members}),
        }
    return {"split_by": split.config.by if split else None, "sides": sides}


def fidelity_numbers(shown: Shown, rows: Sequence[Fidelity]) -> list[dict[str, Any]]:
    """Return the fidelity of a recording as JSON values."""
    about = {"side": shown.side or "all", "array": array_name(shown.info)}
    return [{**about, **asdict(row)} for row in rows]


def tokenizer_numbers(log: TrainingLog) -> dict[str, Any]:
    """Return how far the tokenizer was trained and its last validation."""
    names = [name for name in log.columns if name.startswith("validation/")]
    last = {name.removeprefix("validation/"): log.last(name) for name in names}
    return {"last_step": log.last_step, "validation": last}


def masked_model_numbers(log: TrainingLog, until: int | None) -> dict[str, Any] | None:
    """Return the masked model's validation beside the unigram's; None before the first.

    The last one, or the last up to step ``until``.
    """
    steps = log.series("validation/loss").steps
    steps = steps if until is None else steps[steps <= until]
    if not len(steps):
        return None
    names = ("loss", "unigram_loss", "accuracy", "unigram_accuracy")
    levels = [
        {name: log.last(f"validation/{name}_{level}", until=until) for name in names}
        for level in range(len(log.levels("validation/loss")))
    ]
    return {
        "last_step": log.last_step,
        "validated_at_step": int(steps[-1]),
        "loss": log.last("validation/loss", until=until),
        "unigram_loss": log.last("validation/unigram_loss", until=until),
        "levels": levels,
    }


def collect(
    run: RunFolder, found: Mapping[str, Any], left_out: Mapping[str, str]
) -> dict[str, Any]:
    """Return all numbers of a report as JSON values."""
    tokenizer_log, masked_log = run.log("tokenizer"), run.log("pretrain")
    return {
        "format": FORMAT,
        "software": software_versions(),
        "data": data_numbers(run.corpus, run.split) if run.corpus else None,
        "tokenizer": tokenizer_numbers(tokenizer_log) if tokenizer_log else None,
        "fidelity": found.get("fidelity", []),
        "bands": found.get("bands", []),
        "codes": found.get("codes"),
        "masked_model": masked_model_numbers(masked_log, run.exported_step) if masked_log else None,
        "features": found.get("features"),
        "left_out": dict(left_out),
        "files": run.parts(),
    }


def headline(numbers: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the numbers that matter: what, value, and what can be had without the model."""
    rows: list[tuple[str, str, str]] = []
    for side, amount in (numbers["data"] or {"sides": {}})["sides"].items():
        if amount["recordings"]:
            text = f"{amount['recordings']} ({60 * amount['hours']:.1f} min)"
            rows.append((f"recordings, {side}", text, ""))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in numbers["fidelity"]:
        groups.setdefault((row["side"], row["sensor_type"]), []).append(row)
    for (side, kind), members in groups.items():
        of = f"{label_of(kind, 2)}, {side}"
        of += f" (mean of {len(members)})" if len(members) > 1 else ""
        correlation = float(np.mean([row["correlation"] for row in members]))
        error = float(np.mean([row["error_ratio"] for row in members]))
        rows.append((f"correlation, {of}", f"{correlation:.3f}", "0 (predicting zero)"))
        rows.append((f"rel. error, {of}", f"{error:.3f}", "1 (predicting zero)"))
    if numbers["codes"]:
        rows.append(("codes, bits a second", f"{numbers['codes']['bits_per_second']:g}", ""))
    masked = numbers["masked_model"]
    if masked:
        value, base = _number(masked["loss"]), _number(masked["unigram_loss"])
        rows.append(("hidden codes, loss (nats)", value, f"{base} (unigram)"))
        for level, entry in enumerate(masked["levels"], start=1):
            value, base = _percent(entry["accuracy"]), _percent(entry["unigram_accuracy"])
            rows.append((f"hidden codes, accuracy, level {level}", value, f"{base} (unigram)"))
    return rows


def split_statements(data: Mapping[str, Any]) -> list[str]:
    """Return what was held out, from :func:`data_numbers`."""
    by = data["split_by"]
    if not by:
        return ["There is no split: what is shown may have been trained on."]
    lines = [SPLIT_MEANING[by]]
    trained = set(data["sides"].get("train", {}).get("arrays", []))
    for side, amount in data["sides"].items():
        new = [name for name in amount["arrays"] if name not in trained]
        if side != "train" and new:
            lines.append(f"Training has no sensors like these of side {side}: {_some(new)}.")
    return lines


def statements(numbers: Mapping[str, Any]) -> list[str]:
    """Return what the numbers mean, one sentence each, good news and bad."""
    lines = split_statements(numbers["data"]) if numbers["data"] else []
    rows = numbers["fidelity"]
    if rows:
        better = sum(
            row["correlation_interval"][0] > 0 and row["error_interval"][1] < 1 for row in rows
        )
        lines.append(
            f"The reconstruction beats predicting zero in correlation and in error, beyond the "
            f"95 % interval of both, in {better} of {len(rows)} pairs of recording and sensor type."
        )
    masked = numbers["masked_model"]
    if masked and masked["loss"] is not None and masked["unigram_loss"] is not None:
        gain = masked["unigram_loss"] - masked["loss"]
        worse = [
            str(level)
            for level, entry in enumerate(masked["levels"], start=1)
            if entry["loss"] is not None and entry["loss"] >= (entry["unigram_loss"] or np.inf)
        ]
        tail = f"; not on level {', '.join(worse)}" if worse else "; on every level"
        verdict = (
            f"beats the unigram by {gain:.3f} nats{tail}"
            if gain > 0
            else (f"does not beat the unigram (worse by {-gain:.3f} nats)")
        )
        lines.append(
            f"On hidden codes of validation the masked model {verdict} "
            f"(step {masked['validated_at_step']})."
        )
    return lines


def data_table(data: Mapping[str, Any]) -> str:
    """Return the sides of :func:`data_numbers` as HTML."""
    rows = [
        (
            side,
            str(amount["recordings"]),
            str(amount["subjects"]),
            f"{amount['hours']:.3f}",
            _some(amount["arrays"]),
        )
        for side, amount in data["sides"].items()
    ]
    return html_table(("side", "recordings", "subjects", "hours", "devices"), rows)


def summary_entries(run: RunFolder, numbers: Mapping[str, Any]) -> list[Entry]:
    """Return the first section of the report."""
    section = "Summary"
    entries = [
        Entry(
            section,
            "Numbers",
            html_list(statements(numbers))
            + html_table(("what", "value", "without the model"), headline(numbers)),
            "",
        )
    ]
    if numbers["data"]:
        entries.append(Entry(section, "Data", data_table(numbers["data"]), ""))
    files = [(name, what, "there" if run.has(name) else "missing") for name, what in PARTS.items()]
    text = html_table(("in the folder of this run", "what it is", "state"), files)
    if numbers["left_out"]:
        lines = [f"{name}: {reason}" for name, reason in numbers["left_out"].items()]
        text += "<p>Sections left out:</p>" + html_list(lines)
    entries.append(Entry(section, "Files", text, ""))
    return entries


def _some(names: Sequence[str], most: int = 6) -> str:
    more = f"; and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
