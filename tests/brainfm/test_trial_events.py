import numpy as np
import pytest

from brainfm.event_tables import events_from_table
from brainfm.trial_events import (
    Event,
    content_id,
    events_from_annotations,
    events_from_arrays,
    events_from_samples,
    events_from_stim,
)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_content_is_known_whatever_its_spelling_and_never_by_its_file_name():
    assert content_id("The  quick\nbrown Fox") == content_id("the quick brown fox")
    assert content_id("caf\u00e9") == content_id("cafe\u0301")
    assert content_id("the quick brown fox") != content_id("the quick brown dog")
    assert content_id(b"RIFF") != content_id("RIFF")
    assert len(content_id("x")) == 16


def test_annotations_are_events_unless_they_mark_a_stretch():
    marks = [(1.0, 0.5, "left"), (2.0, 3.0, "BAD_ACQ_SKIP"), (2.5, 0.0, "EDGE boundary")]
    assert events_from_annotations(marks) == [Event(onset=1.0, duration=0.5, name="left")]


def test_samples_count_from_the_start_of_the_clock():
    rows = [[1100, 0, 1], [1200, 0, 2], [1300, 0, 9]]
    events = events_from_samples(rows, 100.0, first_sample=1000, names={1: "left", 2: "right"})
    assert [(e.onset, e.name) for e in events] == [(1.0, "left"), (2.0, "right")]
    assert [e.name for e in events_from_samples(rows, 100.0)] == ["1", "2", "9"]
    with pytest.raises(ValueError, match=r"\(E, 3\)"):
        events_from_samples([[1, 2]], 100.0)


def test_arrays_of_different_lengths_are_refused():
    events = events_from_arrays([0.5, 1.5], ["a", "b"], ["x", "y"])
    assert events[1] == Event(onset=1.5, name="b", stimulus="y")
    with pytest.raises(ValueError, match="one length"):
        events_from_arrays([0.5], ["a", "b"])
    with pytest.raises(ValueError, match="finite"):
        events_from_arrays([np.nan], ["a"])


def test_a_stim_channel_is_read_from_the_first_sample_of_the_recording():
    import mne

    info = mne.create_info(["Cz", "STI"], 100.0, ["eeg", "stim"])
    data = np.zeros((2, 500))
    data[1, 100:110], data[1, 300:310] = 1, 2
    raw = mne.io.RawArray(data, info, first_samp=70, verbose="error")
    events = events_from_stim(raw, "STI", {1: "left", 2: "right"})
    assert [(e.onset, e.name) for e in events] == [(1.0, "left"), (3.0, "right")]
    with pytest.raises(ValueError, match="stim channels of the recording: STI"):
        events_from_stim(raw, "STI 014")


def test_a_bids_table_skips_rows_without_a_name(tmp_path):
    path = write(
        tmp_path / "sub-1_events.tsv",
        "onset\tduration\ttrial_type\n0.5\t1\tleft\n1.5\tn/a\tn/a\n2.5\tn/a\tright\n",
    )
    assert events_from_table(path) == [
        Event(onset=0.5, duration=1.0, name="left"),
        Event(onset=2.5, name="right"),
    ]


def test_files_with_the_same_bytes_are_one_stimulus(tmp_path):
    for name, content in (("a.wav", b"hello"), ("copy_of_a.wav", b"hello"), ("b.wav", b"bye")):
        (tmp_path / name).write_bytes(content)
    path = write(
        tmp_path / "events.csv",
        "time,word,file,line\n1,x,a.wav,A b\n2,x,copy_of_a.wav,a B\n3,x,b.wav,n/a\n4,x,n/a,c\n",
    )
    columns = {"name": "word", "onset": "time", "stimulus": "file", "group": "line"}
    one, copy, other, none = events_from_table(path, **columns, stimulus_folder=tmp_path)
    assert one.stimulus == copy.stimulus == content_id(b"hello")
    assert other.stimulus == content_id(b"bye")
    assert none.stimulus == other.group == ""
    assert one.group == copy.group == content_id("a b")
    # By name alone they would be two.
    assert len({e.stimulus for e in events_from_table(path, **columns)}) == 4


def test_what_is_wrong_with_a_table_is_said(tmp_path):
    path = write(tmp_path / "events.tsv", "onset\tvalue\n1\tleft\nsoon\tleft\n")
    with pytest.raises(ValueError, match=r"no column 'trial_type'; its columns: onset, value"):
        events_from_table(path)
    with pytest.raises(ValueError, match=r"line 3: onset is 'soon'"):
        events_from_table(path, name="value")
    with pytest.raises(ValueError, match="holds no event"):
        events_from_table(write(tmp_path / "none.tsv", "onset\ttrial_type\n1\tn/a\n"))
