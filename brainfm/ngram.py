"""A small n-gram model of symbols, as a file that language-model libraries read."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

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
