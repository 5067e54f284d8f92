"""Texts as targets: which text goes with a trial, and of which symbols it is made.

Shapes: M texts, N trials, L symbols.
"""

import csv
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from brainfm.trial_events import content_id
from brainfm.trials import Trial, Trials

from .targets import Targets, TargetSource


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Where texts are and of what they are made.

    Parameters
    ----------
    table
        CSV (or ``.tsv``) with a header; empty: the label of a trial is its text.
    by
        What of a trial the column ``key`` holds: its ``label``, or the content id of its
        ``stimulus``. ``content``: the column holds the stimulus itself, whose id is made of it.
    key, text
        Columns.
    symbols
        ``characters`` of the text in lower case, or ``words``: what white space parts (phonemes).
    alphabet
        Symbols there may be; empty: those of all texts, sorted. Which symbols exist is all that is
        taken from texts of other than training trials.
    """

    table: str = ""
    by: Literal["label", "stimulus", "content"] = "stimulus"
    key: str = "stimulus"
    text: str = "text"
    symbols: Literal["characters", "words"] = "characters"
    alphabet: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.by not in ("label", "stimulus", "content"):
            raise ValueError(f"by must be label, stimulus or content, got {self.by!r}")
        if self.symbols not in ("characters", "words"):
            raise ValueError(f"symbols must be 'characters' or 'words', got {self.symbols!r}")
        if len(set(self.alphabet)) < len(self.alphabet) or "" in self.alphabet:
            raise ValueError(
                f"alphabet must hold each symbol once and no empty one: {self.alphabet}"
            )


class TextTargets(TargetSource):
    """The text of every trial, for CTC.

    Parameters
    ----------
    texts
        Where they are and of what they are made.
    """

    def __init__(self, texts: TextConfig | None = None) -> None:
        self.texts = texts or TextConfig()

    def make(self, trials: Trials) -> Targets:
        """Return the texts; equal texts are one, its id a hash of it."""
        texts = zip(trials.rows, self._of_trials(trials), strict=True)
        symbols = [self._symbols(text, trial) for trial, text in texts]
        alphabet = self.texts.alphabet or tuple(sorted({s for text in symbols for s in text}))
        known = {symbol: k for k, symbol in enumerate(alphabet, 1)}
        for trial, text in zip(trials.rows, symbols, strict=True):
            strange = [symbol for symbol in text if symbol not in known]
            if strange:
                raise ValueError(
                    f"the text of the trial at {trial.onset:g} s of {trial.recording} has "
                    f"{strange[0]!r}, which is not in the alphabet"
                )
        different = sorted(set(symbols))
        place = {text: k for k, text in enumerate(different)}
        values = np.zeros((len(different), max(map(len, different), default=0)), dtype=np.int64)
        for row, text in zip(values, different, strict=True):
            row[: len(text)] = [known[symbol] for symbol in text]
        return Targets(
            ids=np.array([content_id("\x1f".join(text)) for text in different], dtype=np.str_),
            rows=np.array([place[text] for text in symbols], dtype=np.int64),
            values=values,
            lengths=np.array([len(text) for text in different], dtype=np.int64),
            alphabet=alphabet,
        )

    def _of_trials(self, trials: Trials) -> list[str]:
        """Return the text of every trial, in the order of their table."""
        if not self.texts.table:
            return [trial.label for trial in trials.rows]
        table = self._table()
        found = []
        for trial in trials.rows:
            key = trial.label if self.texts.by == "label" else trial.stimulus
            if key not in table:
                raise ValueError(
                    f"{self.texts.table} has no text for {key!r}, the {self.texts.by} of the trial "
                    f"at {trial.onset:g} s of {trial.recording}"
                )
            found.append(table[key])
        return found

    def _table(self) -> dict[str, str]:
        cfg, path = self.texts, Path(self.texts.table)
        if not path.is_file():
            raise FileNotFoundError(f"table of texts {path} is not there")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            columns = list(reader.fieldnames or ())
            for column in (cfg.key, cfg.text):
                if column not in columns:
                    there = ", ".join(columns) or "none"
                    raise ValueError(f"{path} has no column {column!r}; its columns: {there}")
            rows = [(row[cfg.key] or "", row[cfg.text] or "") for row in reader]
        table: dict[str, str] = {}
        for key, text in rows:
            key = content_id(key) if cfg.by == "content" else key
            if table.setdefault(key, text) != text:
                raise ValueError(f"{path} gives {key!r} two texts: {table[key]!r} and {text!r}")
        return table

    def _symbols(self, text: str, trial: Trial) -> tuple[str, ...]:
        words = unicodedata.normalize("NFKC", text).split()
        symbols: Sequence[str] = words
        if self.texts.symbols == "characters":
            symbols = " ".join(words).casefold()
        if not symbols:
            raise ValueError(
                f"the text of the trial at {trial.onset:g} s of {trial.recording} is empty"
            )
        return tuple(symbols)
