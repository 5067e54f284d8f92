import pytest
from brainfm.finetune.evaluation_tables import averaged_words


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({}, "one presentation each"),
        ({"presentations_averaged": [1, 1]}, "one presentation each"),
        ({"presentations_averaged": [4, 4]}, "each the average of 4 presentations"),
        ({"presentations_averaged": [1, 4]}, "each the average of 1 to 4 presentations"),
    ],
)
def test_a_report_says_how_many_presentations_a_trial_is(numbers, words):
    assert averaged_words(numbers) == words
