"""Error rates of texts: by hand and against torchmetrics."""

import numpy as np
import pytest
from torchmetrics.functional.text import char_error_rate, word_error_rate

from brainfm.text_metrics import edit_distances, text_metrics

TRUTHS = ["the cat sat", "a dog", "no"]


def test_edits_by_hand() -> None:
    found = edit_distances(["kitten", "", "abc"], ["sitting", "abc"])
    assert found.tolist() == [[3, 6], [7, 3], [7, 0]]


def test_perfect_texts_have_no_error_and_nothing_said_has_all() -> None:
    place = np.arange(3)
    for found in text_metrics(TRUTHS, TRUTHS):
        assert found.metric.compute(found.edits, place) == 0
        assert not found.metric.higher_is_better
    for found in text_metrics(["", "", ""], TRUTHS):
        assert found.metric.compute(found.edits, place) == 1


def test_it_agrees_with_torchmetrics_for_any_truth() -> None:
    decoded = ["the cat", "a dog dog", "noon", "cat sat the"]
    cer, wer = text_metrics(decoded, TRUTHS)
    for place in ([0, 1, 2, 0], [2, 2, 1, 0]):
        truth = [TRUTHS[k] for k in place]
        assert (cer.metric.name, wer.metric.name) == ("CER", "WER")
        assert cer.metric.compute(cer.edits, np.array(place)) == pytest.approx(
            char_error_rate(decoded, truth).item()
        )
        assert wer.metric.compute(wer.edits, np.array(place)) == pytest.approx(
            word_error_rate(decoded, truth).item()
        )


def test_some_trials_are_scored_by_their_rows() -> None:
    cer, _ = text_metrics(["no", "xx"], ["no"])
    assert cer.metric.compute(cer.edits[1:], np.array([0])) == 1
    assert cer.metric.compute(cer.edits, np.array([0, 0])) == 0.5


def test_an_empty_truth_is_refused() -> None:
    with pytest.raises(ValueError, match="number 1"):
        text_metrics(["a"], ["a", " "])
