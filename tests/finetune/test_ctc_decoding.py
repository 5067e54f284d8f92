"""Texts from log-probabilities: by hand, against every path, with a language model."""

import itertools
import math

import numpy as np
import pytest
from brainfm.finetune.ctc_decoding import TextDecoder, TextDecodingConfig, collapse, join

pytest.importorskip("flashlight.lib.text.decoder", reason="flashlight-text is not installed")


def exact(log_probabilities):
    """Probability of every text, the sum over all paths."""
    n_frames, n_symbols = log_probabilities.shape
    total: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(n_symbols), repeat=n_frames):
        p = math.exp(sum(log_probabilities[t, k] for t, k in enumerate(path)))
        text = tuple(collapse(path))
        total[text] = total.get(text, 0.0) + p
    return total


def drawn(n_frames, n_symbols, seed):
    scores = 1.5 * np.random.default_rng(seed).standard_normal((n_frames, n_symbols))
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def said(path, n_symbols, p=0.9):
    """Log-probabilities of a path with probability ``p`` in every frame."""
    rest = (1 - p) / (n_symbols - 1)
    return np.log(np.array([[p if k == s else rest for k in range(n_symbols)] for s in path]))


def test_repetitions_and_blanks_collapse() -> None:
    assert collapse([0, 1, 1, 0, 1, 2, 2, 0]) == [1, 1, 2]
    assert collapse([0, 0]) == []


def test_symbols_of_one_character_are_joined_without_spaces() -> None:
    assert join(["h", "i"], ["h", "i", " "]) == "hi"
    assert join(["AH", "B"], ["AH", "B"]) == "AH B"


def test_greedy_takes_the_best_symbol_of_every_frame() -> None:
    decode = TextDecoder(TextDecodingConfig(), ["a", "b", " "])
    assert decode(said([1, 1, 0, 1, 3, 2, 2], 4)) == "aa b"
    assert decode(said([0, 0], 4)) == ""


@pytest.mark.parametrize("seed", range(12))
def test_beam_search_finds_the_most_probable_text(seed) -> None:
    scores = drawn(5, 3, seed)
    total = exact(scores)
    best = max(total, key=total.get)
    decode = TextDecoder(TextDecodingConfig(method="beam", beam_size=400), "ab")
    assert decode(scores) == "".join("ab"[k - 1] for k in best)


def test_beam_search_beats_the_best_path_where_ways_add_up() -> None:
    # Blank .6 in both frames: the best path says nothing (.36), "a" has three ways (.64).
    scores = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert TextDecoder(TextDecodingConfig(), "a")(scores) == ""
    assert TextDecoder(TextDecodingConfig(method="beam"), "a")(scores) == "a"


def lm_probability(texts, alphabet, order, text):
    from brainfm.ngram import ngram_arpa

    table = {}
    for line in ngram_arpa(texts, alphabet, order).splitlines():
        if "\t" in line:
            log10, gram, *weight = line.split("\t")
            table[tuple(gram.split())] = (float(log10), float(*weight or ["0"]))

    def log10(history, word):
        if (*history, word) in table:
            return table[*history, word][0]
        return table.get(history, (0, 0.0))[1] + log10(history[1:], word)

    line = ("<s>", *text, "</s>")
    return sum(log10(line[max(0, k - order + 1) : k], line[k]) for k in range(1, len(line)))


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_with_a_language_model_it_finds_the_best_product(seed, weight) -> None:
    texts = [list("abab"), list("ab"), list("ba"), list("abba")]
    scores = drawn(5, 3, seed)
    cfg = TextDecodingConfig(
        method="beam", beam_size=400, language_model="training", order=3, weight=weight
    )
    best = max(
        (math.log(p) + weight * math.log(10) * lm_probability(texts, "ab", 3, spelled), spelled)
        for text, p in exact(scores).items()
        for spelled in ["".join("ab"[k - 1] for k in text)]
    )[1]
    assert TextDecoder(cfg, "ab", texts)(scores) == best


def test_a_language_model_decides_what_the_brain_leaves_open() -> None:
    # b or c after a: the same probability; the texts only know "a b".
    scores = np.log(np.array([[0.02, 0.94, 0.02, 0.02], [0.02, 0.02, 0.48, 0.48]]))
    texts = [["a", "b"]] * 5 + [["c"]] * 5
    cfg = TextDecodingConfig(method="beam", language_model="training", order=2)
    assert TextDecoder(cfg, "abc", texts)(scores) == "ab"
    assert TextDecoder(cfg, "acb", [["a", "c"]] * 5 + [["b"]] * 5)(scores) == "ac"


def test_a_file_of_a_language_model_with_spaces_is_read(tmp_path) -> None:
    from brainfm.ngram import ngram_arpa

    path = tmp_path / "words.arpa"
    path.write_text(ngram_arpa([list("a|b")] * 3, ["a", "b", "|"], 3))
    cfg = TextDecodingConfig(method="beam", language_model=str(path))
    # After "a" a space and "b" are equally likely for the brain, then comes "b".
    scores = np.log(
        np.array([[0.1, 0.8, 0.05, 0.05], [0.1, 0.02, 0.44, 0.44], [0.1, 0.05, 0.8, 0.05]])
    )
    assert TextDecoder(cfg, ["a", "b", " "])(scores) == "a b"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "guess"}, "method"),
        ({"beam_size": 0}, "beam_size"),
        ({"order": 7}, "order"),
        ({"weight": -1.0}, "weight"),
        ({"language_model": "training"}, "beam"),
    ],
)
def test_settings_that_cannot_be(settings, words) -> None:
    with pytest.raises(ValueError, match=words):
        TextDecodingConfig(**settings)


LEXICON = {"method": "beam", "lexicon": "training", "beam_size": 200}
SPOKEN = [list("ab ba"), list("ab ab"), list("ba ab"), list("ab")]


def test_with_a_lexicon_only_its_words_are_said() -> None:
    # a b a _ a b: "aba" is no word, "ab ab" the nearest that is.
    scores = said([1, 2, 1, 3, 1, 2], 4, p=0.6)
    assert TextDecoder(TextDecodingConfig(method="beam"), "ab ")(scores) == "aba ab"
    assert TextDecoder(TextDecodingConfig(**LEXICON), "ab ", SPOKEN)(scores) in ("ab ab", "ba ab")


def test_a_language_model_of_words_decides_between_words() -> None:
    # The last word is "ab" or "ba" alike; after "ab ba" nothing came, after "ba" only "ab".
    scores = said([2, 1, 3, 0, 0], 4)
    scores[3], scores[4] = (np.log([0.02, 0.48, 0.48, 0.02]),) * 2
    cfg = TextDecodingConfig(**LEXICON, language_model="training", order=2, weight=2.0)
    assert TextDecoder(cfg, "ab ", SPOKEN)(scores) == "ba ab"
    other = [list("ab"), list("ba ba"), list("ba ba")]
    assert TextDecoder(cfg, "ab ", other)(scores) == "ba ba"


def test_a_lexicon_is_read_from_a_file(tmp_path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("AB\n\nzebra\n")
    cfg = TextDecodingConfig(method="beam", lexicon=str(path))
    assert TextDecoder(cfg, "ab ")(said([1, 2], 4, p=0.5)) == "ab"
    path.write_text("zebra\n")
    with pytest.raises(ValueError, match=r"words\.txt has no word of the alphabet's characters"):
        TextDecoder(cfg, "ab ")
    with pytest.raises(ValueError, match="a lexicon needs characters as symbols"):
        TextDecoder(cfg, ["AH", "B"])
    with pytest.raises(ValueError, match="need training texts"):
        TextDecoder(TextDecodingConfig(**LEXICON), "ab ")


def test_a_language_model_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.arpa"):
        TextDecodingConfig(method="beam", language_model=str(tmp_path / "gone.arpa"))


def test_a_bar_beside_a_space_is_refused() -> None:
    with pytest.raises(ValueError, match="space"):
        TextDecoder(TextDecodingConfig(method="beam"), ["a", " ", "|"])
