from dataclasses import replace

import numpy as np
import pytest

from brainfm.recording_info import RecordingInfo
from brainfm.recordings import recording_from_array
from brainfm.trial_cutting import info_of, make_trials
from brainfm.trial_events import Event
from brainfm.trial_windows import TrialWindows, corpus_signals
from brainfm.trials import TrialConfig, samples_of

HALF = TrialConfig(window=(0.0, 0.5))


def info(key="r1", *, seconds=10.0, sfreq=100.0, **fields):
    fields = {"dataset": "d", "subject": key} | fields
    return RecordingInfo(id=key, sfreq=sfreq, n_times=int(seconds * sfreq), **fields)


def events(*pairs):
    return [Event(onset=onset, name=name) for onset, name in pairs]


def test_the_table_does_not_depend_on_the_order_of_what_was_found():
    pairs = [
        (info("r1", session="1", run="2"), events((3.0, "b"), (1.0, "a"))),
        (info("r0"), events((2.0, "a"))),
    ]
    trials = make_trials(pairs, HALF)
    assert [(t.recording, t.onset) for t in trials.rows] == [("r0", 2.0), ("r1", 1.0), ("r1", 3.0)]
    other = make_trials([(i, e[::-1]) for i, e in pairs[::-1]], HALF)
    assert other == trials
    assert other.digest == trials.digest
    assert trials.classes == ("a", "b")
    assert trials.targets.tolist() == [0, 0, 1]
    assert trials.units("subject").tolist() == ["d/r0", "d/r1", "d/r1"]
    assert trials.units("run").tolist()[1] == "d/r1/1//2"
    assert trials.select([2, 0]).labels.tolist() == ["a", "b"]
    assert make_trials(pairs, replace(HALF, window=(0.0, 0.6))).digest != trials.digest


def test_one_stimulus_is_one_unit_whoever_heard_it():
    heard = Event(onset=1.0, name="word", stimulus="fox")
    trials = make_trials([(info("r1"), [heard]), (info("r2"), [heard])], HALF)
    assert trials.units("stimulus").tolist() == ["fox", "fox"]


def test_labels_choose_and_merge_events():
    found = [(info(), events((1.0, "L"), (2.0, "R"), (3.0, "rest")))]
    trials = make_trials(found, replace(HALF, labels={"L": "move", "R": "move"}))
    assert trials.labels.tolist() == ["move", "move"]
    assert trials.units("stimulus").tolist() == ["L", "R"]


@pytest.mark.parametrize(
    ("found", "config", "message"),
    [
        ([(1.0, "a"), (12.0, "a")], {}, r"at 12 s is outside of the recording, which lasts 10 s"),
        ([(1.0, "a"), (9.8, "a")], {}, r"its window 9.8 to 10.3 s reaches beyond"),
        ([(0.1, "a"), (2.0, "a")], {"baseline": (-0.2, 0.0)}, r"its window -0.1 to 0.6 s"),
        (
            [(1.0, "a"), (2.0, "b")],
            {"labels": {"c": "x"}},
            r"no recording has an event 'c'; .*a, b",
        ),
        ([(1.0, "a")], {}, r"1 trials are too few"),
        ([(1.0, "a"), (1.0, "a")], {}, r"lists event 'a' at 1 s twice"),
        (
            [(1.0, "a"), (2.0, "a"), (9.9, "b")],
            {"labels": {"a": "a", "b": "b"}, "outside": "drop"},
            r"class 'b' has no trial; 1 events were dropped",
        ),
    ],
)
def test_what_cannot_be_trials_is_refused_in_clear_words(found, config, message):
    with pytest.raises(ValueError, match=message):
        make_trials([(info(), events(*found))], replace(HALF, **config))


def test_dropped_events_are_named():
    found = [(info(), events((1.0, "a"), (2.0, "b"), (9.8, "a")))]
    trials = make_trials(found, replace(HALF, outside="drop"))
    assert len(trials) == 2
    assert "9.8 s" in trials.dropped[0]


@pytest.mark.parametrize("config", [{"window": (1.0, 1.0)}, {"outside": "keep"}])
def test_bad_settings_are_refused(config):
    with pytest.raises(ValueError, match=next(iter(config))):
        TrialConfig(**config)


@pytest.mark.parametrize("sfreq", [100.0, 256.0, 333.3])
def test_windows_have_one_length_wherever_their_event_lies(sfreq):
    onsets = np.random.default_rng(0).uniform(1, 9, 200)
    lengths = {np.subtract(*samples_of(t, (-0.1, 0.7), sfreq)[::-1]) for t in onsets}
    assert lengths == {round(0.8 * sfreq)}


def test_nothing_is_read_before_a_window_is_asked_for(head_sensors):
    x = np.vstack([np.arange(1000.0), 5 + np.zeros(1000)]) * 1e-6
    recording = recording_from_array(x, 100.0, head_sensors(["eeg", "eeg"]), unit="V")
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return recording.read(start, stop)

    config = TrialConfig(window=(0.0, 0.5), baseline=(-0.2, 0.0))
    known = info_of(recording, id="r1", subject="s")
    trials = make_trials([(known, events((1.0, "a"), (4.0, "b")))], config)
    windows = TrialWindows(trials, {"r1": read})
    assert len(windows) == 2
    assert asked == []
    # Samples 400..449 less the mean of 380..399; a constant channel vanishes.
    np.testing.assert_allclose(windows[1][0] * 1e6, np.arange(400, 450) - 389.5, atol=1e-9)
    np.testing.assert_allclose(windows[1][1], 0, atol=1e-20)
    assert asked == [(380, 450)] * 2
    with pytest.raises(ValueError, match=r"no signal was given for 1 recordings, e\.g\. r1"):
        TrialWindows(trials, {})


def test_windows_of_a_corpus_are_its_samples(noise_corpus, tmp_path):
    from brainfm.corpus import Corpus

    corpus = Corpus(noise_corpus(tmp_path, n=2))
    found = [(i, events((1.0, "a"), (2.0, "b"))) for i in corpus.recordings]
    trials = make_trials(found, HALF)
    windows = TrialWindows(trials, corpus_signals(corpus, trials))
    np.testing.assert_array_equal(windows[3], corpus.read(1, 512, 128))
    changed = replace(
        trials, recordings={k: replace(i, digest="x") for k, i in trials.recordings.items()}
    )
    with pytest.raises(ValueError, match="changed since its trials were cut"):
        corpus_signals(corpus, changed)
