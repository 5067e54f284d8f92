from brainfm.finetune.passages import passages

from brainfm.recording_info import RecordingInfo
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trials import TrialConfig


def numbers(*events, second=()):
    infos = [RecordingInfo(id=k, dataset="d", subject=k, sfreq=100.0, n_times=9000) for k in "ab"]
    found = [
        (info, [Event(onset=1.0 + t, name="word", **event) for t, event in enumerate(rows)])
        for info, rows in zip(infos, (events, second), strict=True)
    ]
    return passages(make_trials(found, TrialConfig())).tolist()


def words(text, group):
    return [{"stimulus": word, "group": group} for word in text.split()]


def test_the_words_of_a_sentence_are_a_passage():
    assert numbers(*words("the dog", "s1"), *words("a cat sat", "s2")) == [0, 0, 1, 1, 1]


def test_a_sentence_heard_again_later_is_another_passage():
    heard = [*words("the dog", "s1"), *words("a", "s2"), *words("the dog", "s1")]
    assert numbers(*heard) == [0, 0, 1, 2, 2]


def test_a_sentence_in_another_recording_is_another_passage():
    assert numbers(*words("the dog", "s1"), second=words("the dog", "s1")) == [0, 0, 1, 1]


def test_equal_labels_in_a_row_are_no_passage():
    assert numbers({}, {}, {}) == [0, 1, 2]
    assert numbers({"stimulus": "picture"}, {"stimulus": "picture"}) == [0, 1]
