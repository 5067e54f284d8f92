"""Texts of trials: from labels or a table, made of characters or words."""

import pytest
from brainfm.finetune.text_targets import TextConfig, TextTargets

from brainfm.recording_info import RecordingInfo
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event, content_id
from brainfm.trials import TrialConfig, Trials


def trials_of(*events: tuple[str, str]) -> Trials:
    """Trials with a name and the content of a stimulus each."""
    info = RecordingInfo(id="r", sfreq=100.0, n_times=10_000, dataset="d", subject="s")
    found = [
        Event(onset=float(k), name=name, stimulus=content_id(content))
        for k, (name, content) in enumerate(events, 1)
    ]
    return make_trials([(info, found)], TrialConfig(window=(0.0, 0.5)))


def table(folder, rows, name="texts.csv"):
    path = folder / name
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    return str(path)


def test_labels_as_texts() -> None:
    targets = TextTargets().make(trials_of(("No", "x"), ("on", "y"), ("no", "z")))
    assert targets.alphabet == ("n", "o")
    assert targets.rows[0] == targets.rows[2] != targets.rows[1]
    assert targets.values[targets.rows].tolist() == [[1, 2], [2, 1], [1, 2]]
    assert targets.lengths.tolist() == [2, 2]


def test_a_table_by_the_content_of_the_stimulus(tmp_path) -> None:
    rows = [("stimulus", "text"), ("one.wav bytes", "a b"), ("two.wav bytes", "b")]
    trials = trials_of(("hear", "two.wav bytes"), ("hear", "one.wav bytes"))
    given = TextTargets(TextConfig(table=table(tmp_path, rows), by="content")).make(trials)
    assert given.alphabet == (" ", "a", "b")
    assert given.values[given.rows].tolist() == [[3, 0, 0], [2, 1, 3]]
    assert given.lengths[given.rows].tolist() == [1, 3]
    ids = [("stimulus", "text"), *((content_id(key), text) for key, text in rows[1:])]
    same = TextTargets(TextConfig(table=table(tmp_path, ids, "ids.csv"))).make(trials)
    assert same.values.tolist() == given.values.tolist()
    assert same.ids.tolist() == given.ids.tolist()


def test_phonemes_are_words_of_their_own(tmp_path) -> None:
    rows = [("word", "phones"), ("hi", "HH  AY"), ("eye", "AY")]
    cfg = TextConfig(
        table=table(tmp_path, rows), by="label", key="word", text="phones", symbols="words"
    )
    targets = TextTargets(cfg).make(trials_of(("hi", "x"), ("eye", "y")))
    assert targets.alphabet == ("AY", "HH")
    assert targets.values[targets.rows].tolist() == [[2, 1], [1, 0]]


def test_a_given_alphabet_keeps_its_order_and_must_hold_everything() -> None:
    cfg = TextConfig(alphabet=("o", "n", "x"))
    targets = TextTargets(cfg).make(trials_of(("no", "x"), ("no", "y")))
    assert targets.alphabet == ("o", "n", "x")
    assert targets.values.tolist() == [[2, 1]]
    with pytest.raises(ValueError, match="'z', which is not in the alphabet"):
        TextTargets(cfg).make(trials_of(("no", "x"), ("zo", "y")))


def test_what_is_missing_or_said_twice_is_named(tmp_path) -> None:
    trials = trials_of(("hi", "x"), ("hi", "y"))
    path = table(tmp_path, [("word", "text"), ("eye", "a")])
    with pytest.raises(ValueError, match="no text for 'hi', the label of the trial at 1 s of r"):
        TextTargets(TextConfig(table=path, by="label", key="word")).make(trials)
    with pytest.raises(ValueError, match="no column 'stimulus'; its columns: word, text"):
        TextTargets(TextConfig(table=path)).make(trials)
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        TextTargets(TextConfig(table=str(tmp_path / "gone.csv"))).make(trials)
    twice = table(tmp_path, [("stimulus", "text"), ("a", "x"), ("a", "y")], "twice.csv")
    with pytest.raises(ValueError, match="two texts: 'x' and 'y'"):
        TextTargets(TextConfig(table=twice)).make(trials)
    empty = table(tmp_path, [("word", "text"), ("hi", " ")], "empty.csv")
    with pytest.raises(ValueError, match="trial at 1 s of r is empty"):
        TextTargets(TextConfig(table=empty, by="label", key="word")).make(trials)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"by": "hand"}, "by"),
        ({"symbols": "letters"}, "symbols"),
        ({"alphabet": ("a", "a")}, "alphabet"),
    ],
)
def test_settings_that_cannot_be(settings, words) -> None:
    with pytest.raises(ValueError, match=words):
        TextConfig(**settings)
