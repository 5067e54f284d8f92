"""Beam search through a library: the most probable text, with a lexicon and a language model.

Without a lexicon, the language model is of symbols. With one, texts are words of a prefix tree, and
the language model is of words.

Shapes: T frames, A symbols of the alphabet (0 is the blank).
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.ngram import ngram_arpa

from .ctc_decoding import BLANK, FROM_TRAINING, TextDecodingConfig, collapse, join

SPACE = "|"
"""How a space is written in language models of characters."""
UNKNOWN = "<unk>"
THRESHOLD = 1e4
"""Texts less probable by more than this (nats) are given up: none."""

Search = Callable[[NDArray[np.float32]], str]
"""From log-probabilities (T, A + 1) to a text."""


def beam_search(
    cfg: TextDecodingConfig, alphabet: Sequence[str], texts: Sequence[Sequence[str]]
) -> Search:
    """Return a search.

    Parameters
    ----------
    cfg
        How.
    alphabet
        (A,).
    texts
        Training texts as symbols.

    Raises
    ------
    ImportError
        The library is not installed.
    ValueError
        Training texts are needed and there are none; a lexicon without characters or without a word
        that can be spelled.
    """
    try:
        import flashlight.lib.text.decoder  # noqa: F401
    except ImportError:
        raise ImportError(
            "beam search needs flashlight-text: pip install 'brainfm-toolkit[text]'"
        ) from None
    if " " in alphabet and SPACE in alphabet:
        raise ValueError(f"the alphabet has both a space and {SPACE!r}, which stands for one")
    if cfg.needs_training and not texts:
        raise ValueError("lexicon and language_model 'training' need training texts")
    return _of_words(cfg, alphabet, texts) if cfg.lexicon else _of_symbols(cfg, alphabet, texts)


def _of_symbols(
    cfg: TextDecodingConfig, alphabet: Sequence[str], texts: Sequence[Sequence[str]]
) -> Search:
    from flashlight.lib.text.decoder import LexiconFreeDecoder, LexiconFreeDecoderOptions

    named = [[_written(symbol) for symbol in text] for text in texts]
    names = [_written(symbol) for symbol in alphabet]
    model = _language_model(cfg, names, named, ["<blank>", *names])
    options = LexiconFreeDecoderOptions(**_options(cfg, alphabet))
    # The blank serves as silence: what the library puts before and after a path then collapses.
    decoder = LexiconFreeDecoder(options, model, BLANK, BLANK, [])

    def search(emissions: NDArray[np.float32]) -> str:
        found = decoder.decode(emissions.ctypes.data, *emissions.shape)
        path = found[0].tokens if found else []
        return join([alphabet[symbol - 1] for symbol in collapse(path)], alphabet)

    return search


def _of_words(
    cfg: TextDecodingConfig, alphabet: Sequence[str], texts: Sequence[Sequence[str]]
) -> Search:
    from flashlight.lib.text.decoder import (
        LexiconDecoder,
        LexiconDecoderOptions,
        SmearingMode,
        Trie,
    )

    if any(len(symbol) > 1 for symbol in alphabet):
        raise ValueError("a lexicon needs characters as symbols (targets' texts.symbols)")
    sentences = ["".join(text).split() for text in texts]
    words = sorted({word for sentence in sentences for word in sentence})
    if cfg.lexicon != FROM_TRAINING:
        read = Path(cfg.lexicon).read_text(encoding="utf-8-sig").casefold().split("\n")
        words = sorted({line.strip() for line in read if line.strip()})
    place = {symbol: k for k, symbol in enumerate(alphabet, 1)}
    words = [word for word in words if set(word) <= place.keys() - {" "}]
    if not words:
        raise ValueError(f"lexicon {cfg.lexicon} has no word of the alphabet's characters")
    known = set(words)
    spoken = [sentence for sentence in sentences if known.issuperset(sentence)]
    model = _language_model(cfg, words, spoken, [*words, UNKNOWN])
    tree, start = Trie(len(alphabet) + 1, BLANK), model.start(False)
    for label, word in enumerate(words):
        score = model.score(start, label)[1]
        spelled = [place[character] for character in word]
        tree.insert(spelled, label, score)
        if " " in place:  # after the last word there is no space
            tree.insert([*spelled, place[" "]], label, score)
    tree.smear(SmearingMode.MAX)
    options = LexiconDecoderOptions(word_score=0.0, unk_score=-math.inf, **_options(cfg, alphabet))
    decoder = LexiconDecoder(options, tree, model, BLANK, BLANK, len(words), [], False)

    def search(emissions: NDArray[np.float32]) -> str:
        found = decoder.decode(emissions.ctypes.data, *emissions.shape)
        return " ".join(words[label] for label in found[0].words if label >= 0) if found else ""

    return search


def _written(symbol: str) -> str:
    return SPACE if symbol == " " else symbol


def _options(cfg: TextDecodingConfig, alphabet: Sequence[str]) -> dict[str, Any]:
    from flashlight.lib.text.decoder import CriterionType

    return {
        "beam_size": cfg.beam_size,
        "beam_size_token": len(alphabet) + 1,
        "beam_threshold": THRESHOLD,
        # The library's language models speak in powers of ten.
        "lm_weight": cfg.weight * math.log(10),
        "sil_score": 0.0,
        "log_add": True,
        "criterion_type": CriterionType.CTC,
    }


def _language_model(
    cfg: TextDecodingConfig,
    symbols: Sequence[str],
    texts: Sequence[Sequence[str]],
    entries: Sequence[str],
) -> Any:
    """Return the library's model; ``entries`` are its symbols by number."""
    from flashlight.lib.text.decoder import ZeroLM
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    if not cfg.language_model:
        return ZeroLM()
    numbers = Dictionary(list(entries))
    if cfg.language_model != FROM_TRAINING:
        return KenLM(cfg.language_model, numbers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.arpa"
        path.write_text(ngram_arpa(texts, symbols, cfg.order), encoding="utf-8")
        return KenLM(str(path), numbers)
