"""A small n-gram model of symbols, as a file that language-model libraries read."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from brainfm.sensors import FloatArray

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0
"""Logarithm of a probability of nothing, by convention of the format."""


def ngram_arpa(texts: Sequence[Sequence[str]], alphabet: Sequence[str], order: int) -> str:
    r"""Count n-grams and return the model in ARPA format.

    Witten and Bell's interpolation (1991, IEEE Trans. Inf. Theory 37:1085): with c(h) the times a
    history h was seen and T(h) how many symbols followed it,

    .. math:: p(w|h) = \frac{c(hw) + T(h)\, p(w|h')}{c(h) + T(h)}

    where h' is h without its first symbol; below unigrams, all symbols and the end are equally
    likely. So a symbol that no text holds has a probability too.

    Parameters
    ----------
    texts
        Symbols of each text; no symbol may hold white space.
    alphabet
        All symbols there are.
    order
        Longest n-gram, from 2.

    Raises
    ------
    ValueError
        No text, a symbol that is not in the alphabet or cannot be written, an order below 2.
    """
    _check(texts, alphabet, order)
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for text in texts:
        line = (BEGIN, *text, END)
        for at in range(1, len(line)):
            for length in range(min(order - 1, at) + 1):
                counts[line[at - length : at]][line[at]] += 1
    words = [*alphabet, END]
    cache: dict[tuple[tuple[str, ...], str], float] = {}

    def probability(history: tuple[str, ...], word: str) -> float:
        key = (history, word)
        if key not in cache:
            lower = probability(history[1:], word) if history else 1 / len(words)
            seen = counts[history]
            cache[key] = (seen[word] + len(seen) * lower) / (seen.total() + len(seen))
        return cache[key]

    def backoff(history: tuple[str, ...]) -> float:
        seen = counts.get(history)
        return math.log10(len(seen) / (seen.total() + len(seen))) if seen else 0.0

    levels: list[list[str]] = [
        [f"{NEVER}\t{UNKNOWN}", f"{NEVER}\t{BEGIN}\t{backoff((BEGIN,)):.6f}"]
    ]
    levels[0] += [
        _line(math.log10(probability((), word)), (word,), backoff((word,))) for word in words
    ]
    for n in range(2, order + 1):
        grams = sorted((*h, w) for h, after in counts.items() if len(h) == n - 1 for w in after)
        levels.append(
            [
                _line(
                    math.log10(probability(gram[:-1], gram[-1])),
                    gram,
                    backoff(gram) if n < order else None,
                )
                for gram in grams
            ]
        )
    head = [f"ngram {n}={len(level)}" for n, level in enumerate(levels, 1)]
    body = [line for n, level in enumerate(levels, 1) for line in ("", f"\\{n}-grams:", *level)]
    return "\n".join(["\\data\\", *head, *body, "", "\\end\\", ""])


def chances_by_place(
    texts: Sequence[Sequence[str]], alphabet: Sequence[str], n_places: int
) -> FloatArray:
    """Return how probable every symbol is at every place of a text, (n_places, symbols).

    By the bigram of :func:`ngram_arpa` alone, whatever stands before: of the texts that reach the
    place.

    Parameters
    ----------
    texts, alphabet
        As in :func:`ngram_arpa`.
    n_places
        Places from the begin of a text.
    """
    _check(texts, alphabet, 2)
    number = {symbol: k for k, symbol in enumerate(alphabet)}
    n = len(number)
    # The last row is the begin of a text, the last column its end.
    counts = np.zeros((n + 1, n + 1))
    for text in texts:
        line = [number[symbol] for symbol in text]
        np.add.at(counts, ([n, *line], [*line, n]), 1.0)
    single = _interpolated(counts.sum(0), np.full(n + 1, 1 / (n + 1)))
    following = np.stack([_interpolated(row, single) for row in counts])
    chances, now = np.empty((n_places, n)), following[n]
    for row in chances:
        row[:] = now[:n] / now[:n].sum()
        now = row @ following[:n]
    return chances


def _interpolated(counts: FloatArray, lower: FloatArray) -> FloatArray:
    """Return p(w|h) from c(hw) and p(w|h'); the latter where h was never seen."""
    kinds = np.count_nonzero(counts)
    return (counts + kinds * lower) / (counts.sum() + kinds) if kinds else lower


def _line(log10: float, gram: Sequence[str], backoff: float | None) -> str:
    line = f"{log10:.6f}\t{' '.join(gram)}"
    # The end has no successor, so no weight of those.
    return line if backoff is None or gram[-1] == END else f"{line}\t{backoff:.6f}"


def _check(texts: Sequence[Sequence[str]], alphabet: Sequence[str], order: int) -> None:
    if order < 2:
        raise ValueError(f"order of the n-gram must be at least 2, got {order}")
    if not texts:
        raise ValueError("an n-gram needs at least one text")
    known = set(alphabet)
    for symbol in known:
        if not symbol or symbol.split() != [symbol] or symbol in (BEGIN, END, UNKNOWN):
            raise ValueError(f"{symbol!r} cannot be a symbol of an n-gram")
    strange = sorted({symbol for text in texts for symbol in text} - known)
    if strange:
        raise ValueError(f"the texts hold {strange[0]!r}, which is not in the alphabet")
