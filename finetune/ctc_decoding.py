"""From log-probabilities of symbols in time to a text.

Shapes: T frames, A symbols of the alphabet (0 is the blank).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .targets import Targets

BLANK = 0
FROM_TRAINING = "training"
MAX_ORDER = 6
"""Of the library."""


@dataclass(frozen=True, kw_only=True)
class TextDecodingConfig:
    """How texts are read from probabilities.

    Parameters
    ----------
    method
        ``greedy``: the most probable symbol of every frame; ``beam``: the most probable text, the
        sum over all ways to say it in time.
    beam_size
        Texts that are followed at a time.
    lexicon
        Of ``beam``: empty, and texts may be any symbols; ``training``, and they are made of the
        words of the training texts; or a file with a word a line. Needs characters as symbols.
    language_model
        Of ``beam``: empty for none; ``training`` for an n-gram of the training texts; or a file
        (ARPA or KenLM binary) of an n-gram over the symbols of the alphabet, a space written ``|``,
        or over words where there is a lexicon. A score with a language model means nothing without
        that of the language model alone, which is the control ``prior_only``.
    order
        Longest n-gram of ``training``, 2 to 6.
    weight
        How much the language model's probability counts beside the brain's.
    """

    method: Literal["greedy", "beam"] = "greedy"
    beam_size: int = 50
    lexicon: str = ""
    language_model: str = ""
    order: int = 5
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in ("greedy", "beam"):
            raise ValueError(f"method must be 'greedy' or 'beam', got {self.method!r}")
        if self.beam_size < 1:
            raise ValueError(f"beam_size must be at least 1, got {self.beam_size}")
        if not 2 <= self.order <= MAX_ORDER:
            raise ValueError(f"order must be 2 to {MAX_ORDER}, got {self.order}")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight must be at least 0, got {self.weight}")
        forms = {"lexicon": "a file with a word a line", "language_model": "an ARPA or KenLM file"}
        for name, form in forms.items():
            path = getattr(self, name)
            if path and self.method != "beam":
                raise ValueError(f"a {name} needs method 'beam', got 'greedy'")
            if path and path != FROM_TRAINING and not Path(path).is_file():
                raise FileNotFoundError(f"{name} {path} is not there; give {form}, or 'training'")

    @property
    def needs_training(self) -> bool:
        """Return whether anything is taken from training texts."""
        return FROM_TRAINING in (self.lexicon, self.language_model)


def collapse(path: Sequence[int]) -> list[int]:
    """Return the symbols of a path (T,): repetitions become one, blanks go."""
    return [symbol for symbol, _ in groupby(path) if symbol != BLANK]


def join(symbols: Sequence[str], alphabet: Sequence[str]) -> str:
    """Return symbols as a text, with spaces between them if some are longer than a character."""
    return ("" if all(len(symbol) == 1 for symbol in alphabet) else " ").join(symbols)


def symbols_of(targets: Targets, row: int) -> list[str]:
    """Return the symbols of the text in a row of targets."""
    assert targets.values is not None, "texts are decoded but there are none"
    length = None if targets.lengths is None else int(targets.lengths[row])
    return [targets.alphabet[code - 1] for code in targets.values[row, :length]]


def texts_of(targets: Targets, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """Return the texts of rows of targets."""
    return [join(symbols_of(targets, int(row)), targets.alphabet) for row in rows]


class TextDecoder:
    """Reads texts from log-probabilities.

    Parameters
    ----------
    cfg
        How.
    alphabet
        (A,) what symbols 1 to A stand for.
    texts
        Training texts as symbols, for what is to be taken from ``training``.
    """

    def __init__(
        self,
        cfg: TextDecodingConfig,
        alphabet: Sequence[str],
        texts: Sequence[Sequence[str]] = (),
    ) -> None:
        from .ctc_beam import beam_search

        self.cfg, self.alphabet = cfg, tuple(alphabet)
        self._beam = beam_search(cfg, self.alphabet, texts) if cfg.method == "beam" else None

    def __call__(self, log_probabilities: NDArray[Any]) -> str:
        """Return the text of one trial (T, A + 1)."""
        emissions = np.ascontiguousarray(log_probabilities, dtype=np.float32)
        if self._beam is not None:
            return self._beam(emissions)
        path = emissions.argmax(1).tolist()
        return join([self.alphabet[symbol - 1] for symbol in collapse(path)], self.alphabet)


def uninformed(texts: Sequence[Sequence[str]], alphabet: Sequence[str]) -> NDArray[np.float32]:
    """Return log-probabilities (T, A + 1) that know of no trial: how often symbols are in texts.

    Every frame is alike; as many frames as the longest text has symbols, twice, and a blank for
    every frame that a text of mean length leaves.
    """
    place = {symbol: k for k, symbol in enumerate(alphabet, 1)}
    frames = max(2, 2 * max(map(len, texts), default=1))
    counts = np.full(len(alphabet) + 1, 1e-3)
    for text in texts:
        np.add.at(counts, [place[symbol] for symbol in text], 1.0)
    counts[BLANK] = max(frames * len(texts) - counts[1:].sum(), 1.0)
    return np.tile(np.log(counts / counts.sum()).astype(np.float32), (frames, 1))
