from dataclasses import replace

import pytest

from brainfm.pretraining_overlap import pretraining_overlap
from brainfm.recording_info import RecordingInfo
from brainfm.splits import SplitConfig, make_split
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trials import TrialConfig


def info(key, subject, **digests):
    return RecordingInfo(id=key, dataset="d", subject=subject, sfreq=100.0, n_times=1000, **digests)


SEEN = info("p0", "s0", digest="c0", signal_digest="x0", source_digest="f0")
OTHER = info("p1", "s1", digest="c1", signal_digest="x1", source_digest="f1")
EVERYTHING = SplitConfig(fractions={"train": 1.0, "validation": 0.0, "test": 0.0})


@pytest.fixture
def split():
    return make_split([SEEN, OTHER], EVERYTHING)


def trials_of(*infos):
    events = [Event(onset=1.0, name="a"), Event(onset=3.0, name="b")]
    return make_trials([(one, events) for one in infos], TrialConfig())


def training(split):
    stage = {"split_digest": split.digest}
    return {"tokenizer": stage, "masked_model": stage, "context_frames": 8}


def test_recordings_are_known_by_content_under_another_name(split):
    renamed = info("mine", "me", source_digest="f0")
    foreign = info("new", "nobody", source_digest="f9")
    found = pretraining_overlap(trials_of(renamed, foreign), training(split), [split])
    assert found.known
    assert found.recordings == ("mine",)
    assert found.subjects == ("d/me",)  # who was s0 to those who trained
    assert found.line == (
        "overlap with pretraining: 1 of 2 recordings, 1 of 2 subjects (without labels)"
    )


def test_another_recording_of_a_person_who_was_trained_on_is_found(split):
    found = pretraining_overlap(trials_of(info("new", "s1")), training(split), [split])
    assert (found.recordings, found.subjects) == ((), ("d/s1",))
    assert "0 of 1 recordings, 1 of 1 subjects" in found.line


def test_subjects_that_are_not_named_are_not_called_new(split):
    """Neither is their number called 0, nor is a recording that was not seen called no overlap."""
    seen, new = info("mine", "", source_digest="f0"), info("other", "", source_digest="f9")
    found = pretraining_overlap(trials_of(seen, new), training(split), [split])
    assert (found.recordings, found.subjects) == (("mine",), ())
    assert found.line == (
        "overlap with pretraining: 1 of 2 recordings, of 2 recordings the subject is not known "
        "(without labels)"
    )
    found = pretraining_overlap(trials_of(new), training(split), [split])
    assert found.line == (
        "overlap with pretraining: 0 of 1 recordings, of 1 recordings the subject is not known"
    )
    some = pretraining_overlap(trials_of(new, info("b", "x")), training(split), [split])
    assert "0 of 2 recordings, 0 of 1 subjects, of 1 recordings the subject is not" in some.line


def test_people_that_training_did_not_name_may_be_anyone():
    split = make_split([info("p0", "", digest="c0"), OTHER], EVERYTHING)
    found = pretraining_overlap(trials_of(info("new", "x")), training(split), [split])
    assert found.line == (
        "overlap with pretraining: 0 of 1 recordings, 0 of 1 subjects, of 1 recordings trained on "
        "the subject is not known"
    )


def test_test_sides_were_not_trained_on():
    config = replace(EVERYTHING, fractions={"train": 0.0, "validation": 0.0, "test": 1.0})
    split = make_split([SEEN, OTHER], config)
    found = pretraining_overlap(trials_of(SEEN), training(split), [split])
    assert found.line == "overlap with pretraining: none"


def test_what_is_not_known_is_not_called_none(split):
    without = pretraining_overlap(trials_of(SEEN), training(split))
    assert not without.known
    assert split.digest[:12] in without.line
    assert "split.json" in without.line
    published = pretraining_overlap(trials_of(SEEN), {"source": "BrainOmni (published)"}, [split])
    assert not published.known
    assert "not known" in published.line
    assert "BrainOmni" in published.line
