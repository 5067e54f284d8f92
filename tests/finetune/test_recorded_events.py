from pathlib import Path

import mne
import numpy as np
import pytest
from brainfm.finetune.recorded_events import EventConfig, read_events, stem_of
from brainfm.finetune.recording_sources import Bids, Files

from brainfm.sources import Source


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A synthetic FIF file whose clock starts at sample 500, with all kinds of events."""
    folder = tmp_path_factory.mktemp("events")
    info = mne.create_info(["Fz", "Cz", "STI"], 100.0, ["eeg", "eeg", "stim"])
    x = np.random.default_rng(0).standard_normal((3, 1000)) * 1e-5
    x[2] = 0
    x[2, [200, 400]] = [1, 2]
    with mne.use_log_level("ERROR"):
        raw = mne.io.RawArray(x, info, first_samp=500)
        marks = mne.Annotations([1.0, 3.0, 5.0], [0.5, 0.5, 1.0], ["go", "stop", "BAD_jump"])
        raw.set_annotations(marks)
        path = folder / "sub-07_task-synthetic_raw.fif"
        raw.save(path)
        rows = [[700, 0, 1], [720, 1, 0], [900, 0, 2]]
        mne.write_events(folder / "sub-07_task-synthetic-eve.fif", np.array(rows))
    (folder / "sub-07_task-synthetic_events.tsv").write_text(
        "onset\tduration\ttrial_type\tword\n2.0\t0\tgo\tHello\n4.0\t0\tstop\tn/a\n"
    )
    return Source(path=path, id="r", dataset="d", subject="07")


def found(recording, **config):
    return [(e.onset, e.name) for e in read_events(recording, EventConfig(**config))]


def test_annotations_without_those_that_mark_bad_stretches(recording):
    assert found(recording) == [(1.0, "go"), (3.0, "stop")]


def test_stim_channel_counts_from_the_first_sample(recording):
    assert found(recording, kind="stim", channel="STI") == [(2.0, "1"), (4.0, "2")]
    with pytest.raises(ValueError, match="no events in stim channel Fp1"):
        found(recording, kind="stim", channel="Fp1")


def test_event_file_counts_by_the_clock_and_leaves_out_ends_of_triggers(recording):
    config = {"kind": "event_file", "file": "{folder}/{stem}-eve.fif"}
    assert found(recording, **config) == [(2.0, "1"), (4.0, "2")]
    assert found(recording, **config, names={2: "right"}) == [(4.0, "right")]


def test_table_with_stimulus(recording):
    config = EventConfig(kind="table", file="{folder}/{stem}_events.tsv", stimulus="word")
    first, second = read_events(recording, config)
    assert (first.onset, first.name) == (2.0, "go")
    assert len(first.stimulus) == 16
    assert second.stimulus == ""
    labelled = EventConfig(kind="table", file="{folder}/sub-{subject}_task-synthetic_events.tsv")
    assert len(read_events(recording, labelled)) == 2


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"names": {"gone": "x"}}, ValueError, r"has none of the events \['gone'\].*go, stop"),
        ({"kind": "table", "file": "{folder}/no.tsv"}, FileNotFoundError, "no.tsv: the events of"),
        ({"kind": "table", "file": "{place}/no.tsv"}, ValueError, r"may use \{id\}"),
        ({"kind": "event_file"}, ValueError, "need file"),
        ({"kind": "stim", "file": "x"}, ValueError, "are in the recording; leave out file"),
        ({"channel": "STI"}, ValueError, "channel is for events of kind 'stim'"),
    ],
)
def test_what_is_wrong_is_said(recording, config, error, message):
    with pytest.raises(error, match=message):
        found(recording, **config)


def test_a_broken_event_file_is_named(recording, tmp_path):
    broken = tmp_path / "broken-eve.fif"
    broken.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken-eve\.fif: cannot be read as events"):
        found(recording, kind="event_file", file=str(broken))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a_raw.fif", "a"),
        ("a-raw.fif.gz", "a"),
        ("record-[2012.07.06-19.02.16]_raw.fif", "record-[2012.07.06-19.02.16]"),
        ("sub-1_task-x_eeg.vhdr", "sub-1_task-x"),
        ("S001R06.edf", "S001R06"),
    ],
)
def test_stems(name, stem):
    assert stem_of(Path("x") / name) == stem


# --- sources ---


def test_labels_are_found_in_the_path(tmp_path):
    for name in ("S1/a_R1_raw.fif", "S2/a_R2_raw.fif"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    labels = r"^S(?P<subject>\d)/.*R(?P<run>\d)"
    sources = [f.source for f in Files(["S*/*.fif"], str(tmp_path), labels=labels).recordings()]
    assert [(s.subject, s.run, s.dataset) for s in sources] == [
        ("1", "1", tmp_path.name),
        ("2", "2", tmp_path.name),
    ]
    skipped = Files(["S*/*.fif"], str(tmp_path), skip=["S2/*"]).recordings()
    assert [found.source.path.name for found in skipped] == ["a_R1_raw.fif"]
    with pytest.raises(ValueError, match=r"S1/a_R1_raw.fif: does not match labels"):
        Files(["S*/*.fif"], str(tmp_path), labels=r"X(?P<subject>\d)").recordings()


def test_absolute_globs_need_no_root(tmp_path, monkeypatch):
    """Ids, labels and the data set's name are as with the folder as root, wherever one stands."""
    folder = tmp_path / "set [1]"
    for name in ("S1/a_R1_raw.fif", "S2/a_R2_raw.fif"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"")
    labels = r"^S(?P<subject>\d)/.*R(?P<run>\d)"
    below = [f.source for f in Files(["S*/*.fif"], str(folder), labels=labels).recordings()]
    monkeypatch.chdir(tmp_path / "set [1]" / "S1")
    for files, root in (
        ([f"{folder}/S*/*.fif"], "."),
        ([f"{folder}/S*/*.fif"], str(folder)),
        ([f"{folder}/S1/*.fif", f"{folder}/S2/a_R2_raw.fif"], "."),
    ):
        found = [f.source for f in Files(files, root, labels=labels).recordings()]
        assert found == below
    skipped = Files(["S*/*.fif"], str(folder), skip=[f"{folder}/S2/*"]).recordings()
    assert [found.source for found in skipped] == [
        f.source for f in Files(["S1/*.fif"], str(folder)).recordings()
    ]


def test_messages_hold_a_path_once(tmp_path):
    missing = str(tmp_path / "S*" / "*.edf")
    with pytest.raises(FileNotFoundError) as error:
        Files([missing]).recordings()
    assert str(error.value) == f"no file matches {missing}"
    with pytest.raises(ValueError, match="is no folder") as gone:
        Files([str(tmp_path / "gone" / "*.edf")])
    assert str(gone.value).count(str(tmp_path)) == 1
    (tmp_path / "here").mkdir()
    with pytest.raises(ValueError, match=r"\*\.edf: is not below .*here, the folder of"):
        Files([missing], str(tmp_path / "here")).recordings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": r"S(\d+)"}, "must have groups"),
        ({"labels": r"S(?P<who>\d+)"}, "among dataset, subject"),
        ({"labels": "S("}, "is no regular expression"),
        ({"modality": ["ecg"]}, "modality must be among eeg, meg, ieeg"),
        ({"root": "/no/such/folder"}, "is no folder"),
    ],
)
def test_settings_of_files_are_checked(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        Files(**({"root": str(tmp_path), "files": ["*.fif"]} | settings))


def test_bids_with_its_events(tmp_path):
    folder = tmp_path / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    for task in ("synthetic", "rest"):
        (folder / f"sub-01_task-{task}_eeg.edf").write_bytes(b"")
    table = "onset\tduration\ttrial_type\n1.5\t0\tgo\n"
    (folder / "sub-01_task-synthetic_events.tsv").write_text(table)
    (one,) = Bids(str(tmp_path), tasks=["synthetic"]).recordings()
    assert (one.source.subject, one.source.task) == ("01", "synthetic")
    assert [(e.onset, e.name) for e in one.events()] == [(1.5, "go")]
    rest = [f for f in Bids(str(tmp_path)).recordings() if f.source.task == "rest"]
    with pytest.raises(FileNotFoundError, match=r"sub-01_task-rest_events\.tsv"):
        rest[0].events()
    with pytest.raises(ValueError, match="has no task 'go'; tasks: rest, synthetic"):
        Bids(str(tmp_path), tasks=["go"]).recordings()
