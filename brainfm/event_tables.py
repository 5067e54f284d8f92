"""Events written down in a table: BIDS ``events.tsv``, or any CSV with a header."""

import csv
from pathlib import Path

from brainfm.trial_events import Event, content_id

MISSING = ("", "n/a")
"""What a table holds where there is no value (BIDS)."""


def events_from_table(
    path: str | Path,
    *,
    name: str = "trial_type",
    onset: str = "onset",
    duration: str = "duration",
    stimulus: str = "",
    group: str = "",
    stimulus_folder: str | Path | None = None,
) -> list[Event]:
    """Read events from a BIDS ``events.tsv`` or any CSV with a header; onsets in seconds.

    Parameters
    ----------
    path
        Columns are separated by tabs if it ends in ``.tsv``, else by commas.
    name, onset, duration
        Columns; there need be no duration. A row without a name is no event.
    stimulus
        Column of what was presented, a text or (BIDS: ``stim_file``) a file; empty: none.
    group
        Column with the text of the whole that the stimulus is a part of, a sentence; empty: none.
    stimulus_folder
        Where the files of column ``stimulus`` are: their bytes are the content, whatever they are
        called. Not given: the column's text is the content.

    Raises
    ------
    ValueError, FileNotFoundError
        A column is missing (those there are are listed), an onset is no number, no event.
    """
    delimiter = "\t" if Path(path).suffix == ".tsv" else ","
    ids: dict[str, str] = {"": ""}

    def identify(text: str) -> str:
        if text not in ids:
            file = None if stimulus_folder is None else Path(stimulus_folder) / text
            ids[text] = content_id(text if file is None else file.read_bytes())
        return ids[text]

    events = []
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, delimiter=delimiter, restval="")
        columns = list(table.fieldnames or ())
        for column in filter(None, (name, onset, stimulus, group)):
            if column not in columns:
                there = ", ".join(columns) or "none"
                raise ValueError(f"{path}: has no column {column!r}; its columns: {there}")
        for row in table:
            if row[name] in MISSING:
                continue
            shown = row[stimulus] if stimulus else ""
            whole = row[group] if group else ""
            events.append(
                Event(
                    onset=_seconds(row[onset], onset, path, table.line_num),
                    name=row[name],
                    duration=_seconds(row.get(duration, ""), duration, path, table.line_num, "0"),
                    stimulus=identify("" if shown in MISSING else shown),
                    group="" if whole in MISSING else content_id(whole),
                )
            )
    if not events:
        raise ValueError(f"{path}: holds no event; no row has a value in column {name!r}")
    return events


def _seconds(text: str, column: str, path: str | Path, line: int, missing: str = "") -> float:
    try:
        return float(missing if text in MISSING else text)
    except ValueError:
        raise ValueError(f"{path}, line {line}: {column} is {text!r}, not seconds") from None
