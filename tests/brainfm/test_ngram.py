"""The n-gram model: counted by hand, sums to one, read by the library."""

import itertools
import math

import pytest

from brainfm.ngram import chances_by_place, ngram_arpa


def entries(arpa: str) -> dict[tuple[str, ...], tuple[float, float]]:
    """Probability and weight of backing off of every n-gram."""
    found = {}
    for line in arpa.splitlines():
        if "\t" in line:
            log10, gram, *weight = line.split("\t")
            found[tuple(gram.split())] = (10 ** float(log10), 10 ** float(*weight or ["0"]))
    return found


def probability(table, history, word):
    if (*history, word) in table:
        return table[*history, word][0]
    weight = table.get(tuple(history), (0, 1.0))[1]
    return weight * probability(table, history[1:], word)


def test_probabilities_counted_by_hand() -> None:
    table = entries(ngram_arpa([["a", "b"], ["a"]], ["a", "b", "c"], 2))
    # a 2, b 1, end 2: five symbols of three kinds, and four that are possible.
    a = (2 + 3 / 4) / (5 + 3)
    assert table["a",][0] == pytest.approx(a, rel=1e-4)
    assert table["c",][0] == pytest.approx((0 + 3 / 4) / 8, rel=1e-4)
    # After the beginning there was a, twice.
    assert table["<s>", "a"][0] == pytest.approx((2 + a) / 3, rel=1e-4)
    assert table["<s>",][1] == pytest.approx(1 / 3, rel=1e-4)
    # After a there was b once and the end once.
    assert table["a",][1] == pytest.approx(2 / 4, rel=1e-4)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_what_may_follow_sums_to_one(order) -> None:
    alphabet = list("abcd")
    texts = [list("abac"), list("ab"), list("cabab")]
    table = entries(ngram_arpa(texts, alphabet, order))
    for history in [(), ("a",), ("<s>",), ("a", "b"), ("<s>", "a", "b", "a"), ("d",), ("d", "a")]:
        kept = history[max(0, len(history) - order + 1) :]
        total = sum(probability(table, kept, word) for word in [*alphabet, "</s>"])
        assert total == pytest.approx(1, abs=1e-4)


def test_the_header_counts_what_follows() -> None:
    arpa = ngram_arpa([["a", "b"]], ["a", "b"], 3)
    lines = arpa.splitlines()
    for n in (1, 2, 3):
        count = int(next(line for line in lines if line.startswith(f"ngram {n}=")).split("=")[1])
        start = lines.index(f"\\{n}-grams:") + 1
        assert lines[start + count] == ""
        assert all("\t" in line for line in lines[start : start + count])
    assert math.isclose(entries(arpa)["<unk>",][0], 1e-99)


@pytest.mark.parametrize(
    ("texts", "alphabet", "order", "words"),
    [
        ([["a"]], ["a"], 1, "order"),
        ([], ["a"], 2, "at least one text"),
        ([["b"]], ["a"], 2, "'b'"),
        ([["a"]], ["a", "x y"], 2, "'x y'"),
        ([["a"]], ["a", "</s>"], 2, "cannot be a symbol"),
    ],
)
def test_what_cannot_be_is_refused(texts, alphabet, order, words) -> None:
    with pytest.raises(ValueError, match=words):
        ngram_arpa(texts, alphabet, order)


def test_chances_by_place_are_those_of_all_texts_together() -> None:
    texts, alphabet = [["a", "b"], ["a"], ["b", "a", "a"]], ["a", "b", "c"]
    table = entries(ngram_arpa(texts, alphabet, 2))
    found = chances_by_place(texts, alphabet, 3)
    for place in range(3):
        total = dict.fromkeys(alphabet, 0.0)
        for text in itertools.product(alphabet, repeat=place + 1):
            line = ("<s>", *text)
            total[text[-1]] += math.prod(
                probability(table, line[k - 1 : k], line[k]) for k in range(1, len(line))
            )
        expected = [total[symbol] / sum(total.values()) for symbol in alphabet]
        # The table is written with six digits.
        assert found[place] == pytest.approx(expected, abs=1e-5)
