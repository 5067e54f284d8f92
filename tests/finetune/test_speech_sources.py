"""Tiny synthetic folders in the layouts of published data sets."""

import json

import numpy as np
import pytest
from brainfm.finetune.speech_sources import SeveralSpeechRecordings, SpeechRecordings
from brainfm.finetune.speech_targets import SpeechTargets
from scipy.io import savemat
from speech_layouts import brennan, fif, noise, sound, table

from brainfm.recording_info import RecordingInfo
from brainfm.simulation_config import SimulationConfig
from brainfm.simulation_run import simulate_dataset
from brainfm.speech_events import SpeechEventConfig
from brainfm.speech_segments import parse_heard
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import content_id
from brainfm.trials import TrialConfig

SINGLE = SpeechEventConfig(block_s=0)


SENTENCES = SpeechEventConfig(unit="sentence", block_s=0)


def test_brennan(tmp_path):
    name = brennan(tmp_path)
    (found,) = SpeechRecordings(str(tmp_path), "brennan", events=SINGLE).recordings()
    assert (found.source.subject, found.source.dataset) == ("S01", "brennan")
    assert [e.name for e in found.events] == ["alice", "was", "so"]
    assert [e.onset for e in found.events] == pytest.approx([1.0, 1.5, 2.0])
    assert found.events[0].group == found.events[1].group == content_id("Alice was")
    heard = parse_heard(found.events[1].stimulus).attended
    assert (heard.sound, heard.at, heard.begin, heard.end) == (name, 0.7, 0.2, 1.2)
    recording = found.source.open()
    assert (len(recording.sensors), recording.sfreq, recording.line_freq) == (60, 500.0, 60.0)
    assert recording.read(0, 2000).std() == pytest.approx(1e-5, rel=0.05)
    assert np.linalg.norm(recording.sensors.positions, axis=1).min() > 0.05


def test_brennan_says_what_is_wrong(tmp_path):
    brennan(tmp_path)
    source = SpeechRecordings(str(tmp_path), "brennan")
    (tmp_path / "audio" / "DownTheRabbitHoleFinal_SoundFile1.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"SoundFile1\.wav is missing, which S01\.mat says"):
        source.recordings()
    savemat(tmp_path / "S01.mat", {"something": 1})
    with pytest.raises(ValueError, match=r"S01\.mat: has no variable 'raw'"):
        source.recordings()
    with pytest.raises(ValueError, match="no recording of S07 in the layout 'brennan'"):
        SpeechRecordings(str(tmp_path), "brennan", subjects=["S07"]).recordings()
    with pytest.raises(ValueError, match="no recording of anyone"):
        SpeechRecordings(str(tmp_path), "brennan", skip=["S01"]).recordings()
    with pytest.raises(ValueError, match="layout must be one of brennan, broderick"):
        SpeechRecordings(str(tmp_path), "brenan")
    (tmp_path / "AliceChapterOne-EEG.csv").write_text("Word,onset\n")
    with pytest.raises(ValueError, match="no column 'Order'; its columns: Word, onset"):
        source.recordings()


def test_broderick(tmp_path):
    eeg = tmp_path / "Natural Speech" / "EEG"
    text = tmp_path / "Natural Speech" / "Stimuli" / "Text"
    text.mkdir(parents=True)
    for subject in (1, 2):
        (eeg / f"Subject{subject}").mkdir(parents=True)
        savemat(
            eeg / f"Subject{subject}" / f"Subject{subject}_Run3.mat",
            {"eegData": 20 * noise((600, 128)), "mastoids": noise((600, 2)), "fs": 128.0},
        )
    savemat(
        text / "Run3.mat",
        {
            "wordVec": np.array([["he"], ["was"], ["an"]], object),
            "onset_time": [[0.1], [0.6], [2.1]],
            "offset_time": [[0.5], [0.9], [2.4]],
            "sentence_boundaries": [[1.5, 3.0]],
        },
    )
    with pytest.raises(ValueError, match="has no sounds: name their folder"):
        SpeechRecordings(str(tmp_path), "broderick")
    name = sound(tmp_path / "private" / "audio3.wav")
    source = SpeechRecordings(
        str(tmp_path), "broderick", audio=str(tmp_path / "private"), events=SENTENCES
    )
    one, two = source.recordings()
    assert (one.source.subject, one.source.run, two.source.subject) == ("1", "3", "2")
    assert [e.onset for e in one.events] == pytest.approx([0.1, 2.1])
    assert [e.stimulus for e in one.events] == [e.stimulus for e in two.events]
    assert parse_heard(one.events[0].stimulus).attended.sound == name
    recording = one.source.open()
    assert (recording.sensors.names[0], len(recording.sensors), recording.sfreq) == ("A1", 128, 128)
    assert recording.read(0, 600).std() == pytest.approx(2e-5, rel=0.05)


def test_gwilliams(tmp_path):
    name = sound(tmp_path / "stimuli" / "audio" / "lw1_0.wav")
    folder = tmp_path / "sub-01" / "ses-0" / "meg"

    def word(text, sequence, **more):
        event = {"story": "lw1", "kind": "word", "sound": "stimuli/audio/LW1_0.0.wav", "word": text}
        return repr(event | {"sequence_id": sequence, "pronounced": 1.0} | more)

    begin = repr({"story": "lw1", "kind": "sound", "sound": "stimuli/audio/LW1_0.0.wav"})
    for session, jitter in ((0, 0.0), (1, 0.001)):
        folder = tmp_path / "sub-01" / f"ses-{session}" / "meg"
        stem = f"sub-01_ses-{session}_task-0"
        table(
            folder / f"{stem}_events.tsv",
            [
                ["onset", "duration", "trial_type", "value"],
                [3.0, 4.0, begin, "n/a"],
                [3.2, 0.1, repr({"kind": "phoneme", "phoneme": "t_B"}), "n/a"],
                [3.2 + jitter, 0.4, word("Tara", 0.0), "n/a"],
                [3.8, 0.3, word("stood", 0.0), "n/a"],
                [4.0, 0.3, word("unsaid", 0.0, pronounced=0.0), "n/a"],
                [5.0, 0.3, word("Stock", 1.0), "n/a"],
            ],
        )
        fif(folder / f"{stem}_meg.fif")
    found = SpeechRecordings(str(tmp_path), "gwilliams", events=SINGLE).recordings()
    assert [(f.source.session, f.source.task) for f in found] == [("0", "0"), ("1", "0")]
    one, two = (f.events for f in found)
    assert [e.name for e in one] == ["tara", "stood", "stock"]
    assert [e.onset for e in two] == pytest.approx([3.201, 3.8, 5.0])
    # A trigger that is a millisecond off is the same word of the same sound.
    assert [e.stimulus for e in one] == [e.stimulus for e in two]
    assert parse_heard(one[0].stimulus).attended.sound == name
    assert parse_heard(one[2].stimulus).attended.at == pytest.approx(2.0)
    assert len(found[0].source.open().sensors) == 9


def test_schoffelen(tmp_path):
    name = sound(tmp_path / "stimuli" / "audio_files" / "EQ_Ramp_Int2_Int1LPF006.wav")
    (tmp_path / "stimuli" / "stimuli.txt").write_text("6 Het kind loopt\n7 De man\n")
    folder = tmp_path / "sub-A2002" / "meg"
    table(
        folder / "sub-A2002_task-auditory_events.tsv",
        [
            ["onset", "duration", "sample", "type", "value"],
            [0.5, 0, 600, "Picture", "FIX 3516"],
            [1.0, 0, 1200, "Sound", "14 Start File 006.wav"],
            [1.05, 0, 1260, "Nothing", "1 Audio onset"],
            [4.05, 0, 4860, "Nothing", "15 End of file"],
        ],
    )
    fif(folder / "sub-A2002_task-auditory_meg.fif")
    with pytest.raises(ValueError, match="when sentences were heard, not when words were"):
        SpeechRecordings(str(tmp_path), "schoffelen")
    (found,) = SpeechRecordings(str(tmp_path), "schoffelen", events=SENTENCES).recordings()
    (event,) = found.events
    assert (event.onset, event.duration) == pytest.approx((1.05, 3.0))
    assert event.group == content_id("het kind loopt")
    assert parse_heard(event.stimulus).attended.sound == name
    assert found.source.subject == "A2002"


def test_libribrain(tmp_path):
    import h5py

    task = tmp_path / "Sherlock1" / "derivatives"
    name = sound(tmp_path / "audio" / "ses-2_task-Sherlock1_run-1.wav", 30)
    table(
        task / "events" / "sub-0_ses-2_task-Sherlock1_run-1_events.tsv",
        [
            ["idx", "kind", "segment", "sentenceidx", "timemeg", "timechapter", "duration"],
            [1, "silence", "", "", 18.776, 0.0, 0.692],
            [2, "word", "Book", 0, 19.56, 0.772, 0.23],
            [3, "phoneme", "b_B", 0, 19.56, 0.772, 0.08],
            [6, "word", "two", 0, 19.79, 1.002, 0.43],
        ],
    )
    stem = "sub-0_ses-2_task-Sherlock1_run-1_proc-bads+headpos+sss+notch+bp+ds_meg.h5"
    (task / "serialised").mkdir()
    with h5py.File(task / "serialised" / stem, "w") as file:
        file["data"] = (1e-12 * noise((6, 6000))).astype("f4")
        file["times"] = np.arange(6000) / 250
        file.attrs["sample_frequency"] = 250.0
        file.attrs["channel_names"] = "MEG0113, MEG0112, MEG0111, MEG0122, MEG0123, MEG0121"
        file.attrs["channel_types"] = "grad, grad, mag, grad, grad, mag"
    (found,) = SpeechRecordings(str(tmp_path), "libribrain").recordings()
    assert [(e.name, e.onset) for e in found.events] == [("book", 19.56), ("two", 19.79)]
    assert parse_heard(found.events[0].stimulus).attended.sound == name
    assert (found.source.subject, found.source.session) == ("0", "2")
    recording = found.source.open()
    assert list(recording.sensors.types) == ["planar", "planar", "mag"] * 2
    assert recording.sfreq == 250.0


def test_simulated_recordings_give_targets_of_their_sounds(tmp_path):
    paths = [tmp_path / "sounds" / f"{k}.wav" for k in range(3)]
    for k, path in enumerate(paths):
        sound(path, 0.6 + k, seed=k)
    cfg = SimulationConfig(subjects=2, duration=12.0, sfreq=100.0, montage="standard_1020")
    simulate_dataset(tmp_path / "data", cfg, audio=paths, channels=["Fz", "Cz", "Pz", "Oz"])
    source = SpeechRecordings(str(tmp_path / "data"), "simulated", audio=str(tmp_path / "sounds"))
    assert source.synthetic
    found = source.recordings()
    assert {f.source.subject for f in found} == {"01", "02"}
    # Sounds of .6, 1.6 and 2.6 s: pieces at 0; 0; 0 and 1 s.
    pieces = {e.stimulus for f in found for e in f.events}
    assert len(pieces) == 4
    assert {e.group for f in found for e in f.events if e.name == "0.0"} == {content_id("0.0")}
    infos = [
        RecordingInfo(id=f.source.id, dataset="d", subject="s", sfreq=100.0, n_times=1200)
        for f in found
    ]
    trials = make_trials(
        zip(infos, [f.events for f in found], strict=True),
        TrialConfig(window=(0.0, 0.8), outside="drop"),
    )
    targets = SpeechTargets([str(tmp_path / "sounds")]).make(trials)
    assert len(targets.ids) == len({t.stimulus for t in trials.rows})
    truth = json.loads((tmp_path / "data" / "truth" / "simulation.json").read_text())
    assert {s["content_id"] for s in truth["sounds"]} == {p.split(":")[0] for p in pieces}


def test_a_table_that_runs_at_another_rate_is_refused(tmp_path):
    brennan(tmp_path)
    source = SpeechRecordings(str(tmp_path), "brennan")
    table = tmp_path / "AliceChapterOne-EEG.csv"
    text = table.read_text()
    # The words are at .2, .7 and 1.2 s; .35 s later is on no line with the others.
    table.write_text(text.replace("So,1,1.2,", "So,1,1.55,").replace(",1.5,3", ",1.8,3"))
    with pytest.raises(ValueError, match=r"recording brennan_.*S01-mat, from 1 s on, sound"):
        source.recordings()


def test_the_same_sentence_is_on_one_side_in_two_data_sets(tmp_path):
    roots = [tmp_path / "alice", tmp_path / "sea"]
    for root in roots:
        root.mkdir()
    brennan(roots[0])
    text = roots[1] / "Natural Speech" / "Stimuli" / "Text"
    text.mkdir(parents=True)
    eeg = roots[1] / "Natural Speech" / "EEG" / "Subject1"
    eeg.mkdir(parents=True)
    savemat(eeg / "Subject1_Run1.mat", {"eegData": noise((600, 128)), "fs": 128.0})
    spoken = ["Alice", "was", "he", "sailed"]
    savemat(
        text / "Run1.mat",
        {
            "wordVec": np.array([[w] for w in spoken], object),
            "onset_time": [[0.1], [0.6], [2.1], [2.6]],
            "offset_time": [[0.5], [0.9], [2.4], [3.0]],
            "sentence_boundaries": [[1.5, 3.5]],
        },
    )
    sound(roots[1] / "sounds" / "audio1.wav", seed=1)
    config = SpeechEventConfig(block_s=1.0)
    sources = [
        SpeechRecordings(str(roots[0]), "brennan"),
        SpeechRecordings(str(roots[1]), "broderick", audio=str(roots[1] / "sounds")),
    ]
    alice, sea = SeveralSpeechRecordings(sources, config).recordings()
    # Blocks of 1 s: "Alice was" (.7 s) and "So" are one in the first, "Alice was" is joined with
    # "he sailed" in the other; they share a sentence.
    assert {e.group for e in alice.events} == {e.group for e in sea.events}
    apart = SeveralSpeechRecordings(sources, SINGLE).recordings()
    groups = [[e.group for e in found.events] for found in apart]
    assert groups[0][0] == groups[1][0] == content_id("alice was")
    assert groups[0][2] != groups[1][2]
    with pytest.raises(ValueError, match="is one named twice"):
        SeveralSpeechRecordings([sources[0], sources[0]]).recordings()
