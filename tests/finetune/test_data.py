from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from brainfm.finetune.data import DecodingData
from brainfm.finetune.recorded_events import EventConfig
from brainfm.finetune.recording_sources import ArrayRecording, Arrays, Files, FromCorpus
from brainfm.finetune.targets import LabelTargets, Targets
from brainfm.finetune.trial_source import Found, Several, TrialSource

from brainfm.montage import sensors_by_name
from brainfm.processing_config import ProcessingConfig
from brainfm.sources import Source
from brainfm.trial_events import Event
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trials import TrialConfig


def all_of(data, side, **ranks):
    return list(data.side_batches(side, **ranks))


def joined(batches, field):
    return torch.cat([getattr(batch, field) for batch in batches])


def test_trials_targets_and_folds_of_files(prepared_data):
    data = prepared_data()
    assert len(data.trials) == 3 * 2 * 12
    assert data.trials.classes == ("left", "right")
    assert (data.n_folds, data.findings, data.synthetic) == (3, [], True)
    assert data.targets.rows.tolist() == data.trials.targets.tolist()
    assert [len(data.indices(s)) for s in ("train", "validation", "test", "all")] == [
        24,
        24,
        24,
        72,
    ]
    assert data.columns["run"][0] == "synthetic/01//synthetic/01"
    assert set(data.columns) == {
        "recording",
        "subject",
        "session",
        "run",
        "dataset",
        "label",
        "stimulus",
        "group",
    }


def test_every_trial_of_a_side_is_read_once_in_the_order_of_the_table(prepared_data):
    data = prepared_data()
    batches = all_of(data, "train")
    assert joined(batches, "trial").tolist() == data.indices("train").tolist()
    assert [len(b.trial) for b in batches] == [8, 8, 8]
    assert batches[0].signal.x.shape == (8, 6, 256)
    assert joined(batches, "target").tolist() == data.targets.rows[data.indices("train")].tolist()
    onsets = [data.trials.rows[k].onset for k in data.indices("train")]
    assert joined(batches, "onset").tolist() == pytest.approx(onsets)


def test_the_planted_rhythm_is_in_the_windows(prepared_data):
    data = prepared_data()
    x = data.windows(data.indices("all"))
    power = np.abs(np.fft.rfft(x, axis=-1)) ** 2
    c3, c4 = 1, 3
    left = data.trials.labels == "left"
    # One second at 256 Hz: bin k is k Hz.
    assert power[left, c3, 8].mean() > 10 * power[~left, c3, 8].mean()
    assert power[~left, c4, 20].mean() > 10 * power[left, c4, 20].mean()


def test_subjects_of_training_have_slots_and_others_have_none(prepared_data):
    data = prepared_data(fold=1)
    (train,) = data.subjects
    batches = all_of(data, "all")
    slot = joined(batches, "subject").numpy()
    assert set(slot[data.trials.units("subject") == train].tolist()) == {1}
    assert set(slot[data.trials.units("subject") != train].tolist()) == {0}


def test_the_baseline_is_taken_away(prepared_data):
    trials = TrialConfig(window=(0.0, 0.5), baseline=(0.0, 0.5))
    x = prepared_data(trials=trials).windows([0, 1])
    np.testing.assert_allclose(x.mean(axis=2), 0, atol=1e-5)


def test_robust_scaling_and_clamp(prepared_data):
    split = TrialSplitConfig(by="time", folds=3)
    data = prepared_data(split=split, scaling="robust")
    recording = data.trials.rows[0].recording
    train = [k for k in data.indices("train") if data.trials.rows[k].recording == recording]
    x = np.concatenate(list(data.windows(train)), axis=1)
    low, median, high = np.quantile(x, [0.25, 0.5, 0.75], axis=1)
    np.testing.assert_allclose(median, 0, atol=1e-3)
    np.testing.assert_allclose(high - low, 1, atol=1e-3)
    plain = prepared_data(split=split)
    window, scaled = plain.reader.window(0), data.reader.window(0)
    # The SI value of a swing of the signal is the same, whatever unit it is in.
    np.testing.assert_allclose(
        np.ptp(scaled.x, axis=1) * scaled.scale, np.ptp(window.x, axis=1) * window.scale, rtol=1e-4
    )
    clamped = prepared_data(split=split, scaling="robust", clamp=0.5)
    assert np.abs(clamped.windows([0])).max() == 0.5
    digests = {d.input_digest for d in (data, plain, clamped)}
    assert len(digests) == 3
    assert prepared_data(split=split, scaling="robust", fold=1).input_digest != data.input_digest
    assert prepared_data(split=split, fold=1).input_digest == plain.input_digest


def test_scaling_never_sees_other_sides_of_a_recording_that_is_trained_on(prepared_data):
    data = prepared_data(split=TrialSplitConfig(by="time", folds=3), scaling="robust")
    asked = []
    window = data.reader.scaling.window
    data.reader.scaling.window = lambda k: asked.append(k) or window(k)
    for k in data.indices("test")[:3]:
        data.reader.window(int(k))
    assert set(asked) <= set(data.indices("train").tolist())
    assert asked


def test_features_take_the_place_of_the_signal(prepared_data):
    class Store:
        def rows(self, trials):
            return trials[:, None, None, None].float().expand(-1, 2, 3, 4)

    data = prepared_data()
    data.use_features(Store())
    batch = next(iter(data.side_batches("test")))
    assert batch.signal.x.shape == (8, 0, 1)
    assert batch.features[:, 0, 0, 0].tolist() == batch.trial.tolist()
    assert data.example.signal.x.shape == (6, 6, 256)
    assert data.example.features is None


def test_trials_of_different_devices_share_a_batch(planted_folder, tmp_path):
    names = ["Fz", "Cz", "Pz"]
    rng = np.random.default_rng(0)
    array = rng.standard_normal((3, 256 * 20)) * 1e-5
    events = [Event(onset=2.0 + k, name=("left", "right")[k % 2]) for k in range(12)]
    other = ArrayRecording(
        id="array",
        array=array,
        sfreq=256.0,
        sensors=sensors_by_name(names),
        events=events,
        subject="x",
    )
    files = Files(["sub-0[12]*_raw.fif"], str(planted_folder), dataset="synthetic")
    data = DecodingData(
        Several([files, Arrays([other])]), batch_size=64, fold=0, cache=str(tmp_path / "cache")
    )
    data.prepare(ProcessingConfig())
    (batch,) = all_of(data, "all")
    assert batch.signal.x.shape == (60, 6, 256)
    first = batch.trial.numpy()[data.trials.units("recording") == "array"]
    assert batch.signal.mask[first].sum(1).tolist() == [3] * 12
    assert (batch.signal.x[~batch.signal.mask] == 0).all()
    with pytest.raises(ValueError, match="has other channels than the others"):
        data.windows(data.indices("all"))
    assert data.windows(first).shape == (12, 3, 256)


def test_preparing_again_reads_what_is_there(prepared_data, capsys):
    prepared_data()
    capsys.readouterr()
    prepared_data(fold=2)
    assert capsys.readouterr().out == ""


def test_another_processing_has_a_corpus_of_its_own(planted_data):
    data = planted_data()
    data.prepare(ProcessingConfig(sfreq=128.0, h_freq=40.0))
    assert data.reader.window(0).x.shape[1] == 128


def test_arrays_are_written_once_and_again_when_they_change(tmp_path):
    rng = np.random.default_rng(0)
    events = [Event(onset=1.0 + k, name="ab"[k % 2]) for k in range(12)]

    def digest(array):
        sensors = sensors_by_name(["Fz", "Cz", "Pz"])
        given = ArrayRecording(id="r", array=array, sfreq=256.0, sensors=sensors, events=events)
        split = TrialSplitConfig(by="time", folds=3)
        data = DecodingData(Arrays([given]), split=split, cache=str(tmp_path))
        data.prepare(ProcessingConfig())
        return data.trials.digest

    one = rng.standard_normal((3, 256 * 15)) * 1e-5
    first = digest(one)
    (file,) = tmp_path.rglob("recordings/r.h5")
    written = file.stat().st_mtime_ns
    assert digest(one) == first
    assert file.stat().st_mtime_ns == written
    assert digest(one[:, ::-1].copy()) != first


def test_a_prepared_corpus_with_tables_of_events(noise_corpus, tmp_path):
    folder = noise_corpus(tmp_path / "corpus", n=4)
    for k in range(4):
        rows = "".join(f"{1 + t}\t{'ab'[t % 2]}\n" for t in range(6))
        (tmp_path / f"rec{k}.tsv").write_text("onset\ttrial_type\n" + rows)
    events = EventConfig(kind="table", file=f"{tmp_path}/{{id}}.tsv")
    data = DecodingData(FromCorpus(str(folder), events), fold=0)
    data.prepare(ProcessingConfig())
    assert len(data.trials) == 24
    batch = all_of(data, "test")[0]
    assert batch.signal.x.shape[0] == 6
    with pytest.raises(ValueError, match=r"prepared with other settings .*\(sfreq\)"):
        DecodingData(FromCorpus(str(folder), events)).prepare(ProcessingConfig(sfreq=300.0))


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 3}, "data.fold is 3, but there are 3, from 0"),
        ({"trials": TrialConfig(window=(0.0, 30.0))}, "reaches beyond the recording"),
        ({"trials": TrialConfig(labels={"both": "x"})}, "no recording has an event 'both'"),
        ({"trials": TrialConfig(labels={"left": "x"})}, "at least 2 classes"),
        ({"split": TrialSplitConfig(by="dataset")}, "need at least 3 units"),
    ],
)
def test_what_cannot_be_is_said(planted_data, settings, message):
    with pytest.raises(ValueError, match=message):
        planted_data(**settings).prepare(ProcessingConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "data.batch_size must be at least 1"),
        ({"fold": -1}, "data.fold counts from 0"),
        ({"clamp": 0.0}, "data.clamp must be positive"),
        ({"seed": -1}, "must not be negative"),
    ],
)
def test_settings_are_checked(planted_data, settings, message):
    with pytest.raises(ValueError, match=message):
        planted_data(**settings)


def test_a_class_that_a_fold_does_not_train_is_named(planted_data):
    class BySubject(LabelTargets):
        def make(self, trials):
            ids, rows = np.unique(trials.units("subject"), return_inverse=True)
            return Targets(ids=ids, rows=rows.astype(np.int64))

    with pytest.raises(
        ValueError, match="fold 0 by subject trains on no trial of class 'synthetic/02'"
    ):
        planted_data(targets=BySubject()).prepare(ProcessingConfig())


def test_leaks_that_the_audit_finds_stop_training_but_not_the_record(planted_data):
    class Leaky(LabelTargets):
        def audit(self, trials, targets, split):
            return ["fold 0: a target knows the test side"]

    data = planted_data(targets=Leaky())
    data.prepare(ProcessingConfig())
    assert data.findings == ["fold 0: a target knows the test side"]
    processing = ProcessingConfig()
    backbone = SimpleNamespace(processing=processing)
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(backbone=backbone))
    with pytest.raises(ValueError, match="the folds leak: fold 0: a target knows"):
        data.setup("fit")


def test_a_recording_that_cannot_be_prepared_stops_with_its_reason(tmp_path, planted_data):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "sub-01_raw.fif").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"1 of 1 recordings could not be prepared.*sub-01_raw"):
        planted_data(folder=tmp_path / "files").prepare(ProcessingConfig())


def test_a_data_set_of_ones_own_is_one_method(planted_folder, tmp_path):
    class Mine(TrialSource):
        def recordings(self):
            for path in sorted(Path(planted_folder).glob("*.fif")):
                source = Source(path=path, id=path.stem, dataset="mine", subject=path.name[:6])
                yield Found(
                    source=source, events=[Event(onset=k + 1.0, name="ab"[k % 2]) for k in range(4)]
                )

    data = DecodingData(Mine(), fold=0, cache=str(tmp_path))
    data.prepare(ProcessingConfig())
    assert len(data.trials) == 24
    assert data.this_fold.held_out == ("mine/sub-01",)
    assert len(data.subjects) == 1
