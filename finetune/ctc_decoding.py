"""From log-probabilities of symbols in time to a text.

Shapes: T frames, A symbols of the alphabet (0 is the blank).
"""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brainfm.ngram import ngram_arpa

from .targets import Targets

BLANK = 0
FROM_TRAINING = "training"
SPACE = "|"
"""How a space is written in language models of characters."""
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
    language_model
        Of ``beam``: empty for none; ``training`` for an n-gram of the training texts; or a file
        (ARPA or KenLM binary) of an n-gram over the symbols of the alphabet, a space written ``|``.
        A score with a language model means nothing without that of the control without brain
        input.
    order
        Longest n-gram of ``training``, 2 to 6.
    weight
        How much the language model's probability counts beside the brain's.
    """

    method: Literal["greedy", "beam"] = "greedy"
    beam_size: int = 50
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
        if self.language_model and self.method != "beam":
            raise ValueError("a language_model needs method 'beam', got 'greedy'")
        path = self.language_model
        if path and path != FROM_TRAINING and not Path(path).is_file():
            raise FileNotFoundError(
                f"language_model {path} is not there; give an ARPA or KenLM file, or 'training'"
            )


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
        Training texts as symbols, for language model ``training``.
    """

    def __init__(
        self,
        cfg: TextDecodingConfig,
        alphabet: Sequence[str],
        texts: Sequence[Sequence[str]] = (),
    ) -> None:
        self.cfg, self.alphabet = cfg, tuple(alphabet)
        self._beam = _beam_decoder(cfg, self.alphabet, texts) if cfg.method == "beam" else None

    def __call__(self, log_probabilities: NDArray[Any]) -> str:
        """Return the text of one trial (T, A + 1)."""
        emissions = np.ascontiguousarray(log_probabilities, dtype=np.float32)
        if self._beam is None:
            path = emissions.argmax(1).tolist()
        else:
            found = self._beam.decode(emissions.ctypes.data, *emissions.shape)
            path = found[0].tokens if found else []
        return join([self.alphabet[symbol - 1] for symbol in collapse(path)], self.alphabet)


def _beam_decoder(
    cfg: TextDecodingConfig, alphabet: tuple[str, ...], texts: Sequence[Sequence[str]]
) -> Any:
    try:
        from flashlight.lib.text.decoder import (
            CriterionType,
            LexiconFreeDecoder,
            LexiconFreeDecoderOptions,
            ZeroLM,
        )
        from flashlight.lib.text.dictionary import Dictionary
    except ImportError:
        raise ImportError(
            "beam search needs flashlight-text: pip install 'brainfm-toolkit[text]'"
        ) from None
    if " " in alphabet and SPACE in alphabet:
        raise ValueError(f"the alphabet has both a space and {SPACE!r}, which stands for one")
    names = [SPACE if symbol == " " else symbol for symbol in alphabet]
    model = ZeroLM()
    if cfg.language_model:
        model = _language_model(cfg, names, texts, Dictionary(["<blank>", *names]))
    options = LexiconFreeDecoderOptions(
        beam_size=cfg.beam_size,
        beam_size_token=len(names) + 1,
        beam_threshold=1e4,
        # The library's language models speak in powers of ten.
        lm_weight=cfg.weight * math.log(10),
        sil_score=0.0,
        log_add=True,
        criterion_type=CriterionType.CTC,
    )
    # The blank serves as silence: what the library puts before and after a path then collapses.
    return LexiconFreeDecoder(options, model, BLANK, BLANK, [])


def _language_model(
    cfg: TextDecodingConfig, names: Sequence[str], texts: Sequence[Sequence[str]], tokens: Any
) -> Any:
    from flashlight.lib.text.decoder.kenlm import KenLM

    if cfg.language_model != FROM_TRAINING:
        return KenLM(cfg.language_model, tokens)
    if not texts:
        raise ValueError("language_model 'training' needs training texts")
    named = [[SPACE if symbol == " " else symbol for symbol in text] for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.arpa"
        path.write_text(ngram_arpa(named, names, cfg.order), encoding="utf-8")
        return KenLM(str(path), tokens)
