"""What a model card says of a fidelity card: the whole signal, by group and sensor type."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NUMBERS, FORMAT = "card.json", 1
"""File that ``brainfm tokenizer card`` writes, and its format."""
KEPT = ("side", "array", "sensor_type", "n_recordings", "n_subjects", "interval_over")


def fidelity_summary(path: str | Path, codes_digest: str) -> dict[str, Any]:
    """Read the numbers of a fidelity card.

    Parameters
    ----------
    path
        ``card.json``, or the folder with it.
    codes_digest
        Of the tokenizer that the card must be of.

    Returns
    -------
    dict
        JSON values: digests of corpus and split, and ``rows`` with the correlation of the whole
        signal through the codes and through fixed quantiles at as many bits.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, not a fidelity card, or one of another tokenizer.
    """
    from brainfm.fidelity_measures import WHOLE

    path = Path(path)
    path = path / NUMBERS if path.is_dir() else path
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if card["format"] != FORMAT:
            raise ValueError(f"format {card['format']}, this brainfm reads {FORMAT}")
        groups = [group for group in card["groups"] if group["band"] == WHOLE]
        rows = [_row(group) for group in groups if "correlation" in group["measures"]]
        found = {name: card[name] for name in ("corpus_digest", "split_digest")} | {"rows": rows}
        made_by = card["codes_digest"]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such file; 'brainfm tokenizer card' makes one"
        ) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no fidelity card ({error})") from error
    if made_by != codes_digest:
        raise ValueError(
            f"{path} is the card of another tokenizer ({made_by[:12]}) than this checkpoint's "
            f"({codes_digest[:12]}); make it again with 'brainfm tokenizer card'"
        )
    return found


def _row(group: Mapping[str, Any]) -> dict[str, Any]:
    measured = group["measures"]["correlation"]
    estimates = {name: measured[name] for name in ("codes", "quantiles") if name in measured}
    return {name: group[name] for name in KEPT} | {"correlation": estimates}


def fidelity_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the table of a model card (Markdown)."""
    if not summary:
        return [
            "Not measured; 'brainfm tokenizer card' does, 'brainfm export --fidelity' puts it here."
        ]
    lines = [
        "Correlation of signals with what their codes give back, beside fixed quantiles at as many",
        "bits, with 95 % intervals; those over windows say nothing of other people or recordings:",
        "",
        "| recordings | sensors | n (subjects) | codes | fixed quantiles | interval over |",
        "|---|---|---|---|---|---|",
    ]
    for row in summary["rows"]:
        codes, quantiles = (_estimate(row["correlation"].get(n)) for n in ("codes", "quantiles"))
        lines.append(
            f"| {row['side']}, {row['array']} | {row['sensor_type']} | {row['n_recordings']} "
            f"({row['n_subjects']}) | {codes} | {quantiles} | {row['interval_over']} |"
        )
    return lines


def _estimate(value: Mapping[str, Any] | None) -> str:
    if value is None or value.get("value") is None:
        return "-"
    interval = value.get("interval")
    around = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
    return f"{value['value']:.2f}{around}"
