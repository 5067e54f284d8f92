"""Volumes and triggers that do not belong together, tables and images, and the gap."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from brainfm.finetune.bold_sources import Volumes, volume_name, volume_of
from brainfm.finetune.bold_targets import BoldTargets, recording_moments
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_source import Found, TrialSource

from brainfm.recording_info import RecordingInfo
from brainfm.sources import Source
from brainfm.trial_audit import audit_trials
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trial_folds import split_trials
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trials import TrialConfig

N, TR = 60, 2.0


class Triggers(TrialSource):
    """One recording with triggers and another event."""

    def __init__(self, onsets):
        self.onsets = onsets

    def recordings(self):
        events = [Event(onset=t, name="R128") for t in self.onsets]
        source = Source(path=Path("rec_raw.fif"), id="rec", dataset="d", subject="s")
        return [Found(source=source, events=lambda: [Event(onset=0.5, name="blink"), *events])]


def trials(onsets=None, window=(-16.0, 0.0), **settings):
    onsets = TR * np.arange(N) if onsets is None else onsets
    (found,) = Volumes(Triggers(onsets), TR, "R128", **settings).recordings()
    info = RecordingInfo(
        id="rec", dataset="d", subject="s", sfreq=100.0, n_times=20_000, source="rec_raw.fif"
    )
    return make_trials([(info, found.events())], TrialConfig(window=window, outside="drop"))


def table(folder, n=N, header="time\tA\tB", name="rec_bold.tsv"):
    rows = [f"{TR * k}\t{k}\t{-2 * k}" for k in range(n)]
    (folder / name).write_text("\n".join([header, *rows]) + "\n")


def test_every_trial_has_the_values_of_its_volume(tmp_path):
    table(tmp_path)
    found = BoldTargets("{stem}_bold.tsv", TR, str(tmp_path)).make(trials())
    # The window of the eighth volume, at 14 s, would begin before the recording.
    assert found.units == ("A", "B")
    assert found.window == (-16.0, 0.0)
    assert found.values[:, 0].tolist() == list(range(8, N))
    assert found.values[found.rows, 1].tolist() == [-2.0 * k for k in range(8, N)]


def test_dummy_scans_are_skipped(tmp_path):
    table(tmp_path, N - 3)
    found = BoldTargets("rec_bold.tsv", TR, str(tmp_path), regions=["B"]).make(trials(skip=3))
    # Volume 5 is that of the ninth trigger, at 16 s.
    assert found.values[0, 0] == -10.0


@pytest.mark.parametrize("n", [N - 1, N + 1])
def test_triggers_and_volumes_that_differ_in_number_are_refused(n, tmp_path):
    table(tmp_path, n)
    with pytest.raises(ValueError, match=f"recording rec: 60 volume triggers for {n} volumes"):
        BoldTargets("rec_bold.tsv", TR, str(tmp_path)).make(trials())


def test_a_missed_trigger_is_named():
    with pytest.raises(ValueError, match=r"recording rec: volume triggers 9 and 10 are 4\.000 s"):
        trials(np.delete(TR * np.arange(N), 10))


def test_a_trigger_that_is_not_there_is_said_with_those_that_are():
    with pytest.raises(ValueError, match=r"0 events 'R128'.*the events there are: blink"):
        trials(np.zeros(0))


def test_events_that_are_no_volumes_are_refused():
    assert volume_of(volume_name("a volume 1 of 2", 3, 4)) == ("a volume 1 of 2", 3, 4)
    with pytest.raises(ValueError, match=r"bold_sources\.Volumes"):
        volume_of("left")


def test_a_window_after_its_volume_is_refused(tmp_path):
    table(tmp_path)
    with pytest.raises(ValueError, match="must end at a volume or before"):
        BoldTargets("rec_bold.tsv", TR, str(tmp_path)).make(trials(window=(-8.0, 2.0)))


@pytest.mark.parametrize(
    ("name", "header", "settings", "message"),
    [
        ("rec_bold.tsv", "time\tA\tB", {"regions": ["C"]}, "has no column 'C'; it has time, A, B"),
        ("rec_bold.tsv", "A\tB\tC\tD", {}, "row 1 holds no number"),
        ("other.tsv", "A\tB", {}, "no file .*rec_bold.tsv; there must be one"),
    ],
)
def test_tables_that_do_not_fit_are_refused(name, header, settings, message, tmp_path):
    table(tmp_path, header=header, name=name)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        BoldTargets("rec_bold.tsv", TR, str(tmp_path), **settings).make(trials())


def test_two_files_that_match_are_refused(tmp_path):
    table(tmp_path, name="rec_run-1_bold.tsv")
    table(tmp_path, name="rec_run-2_bold.tsv")
    with pytest.raises(FileNotFoundError, match="2 files"):
        BoldTargets("rec_*_bold.tsv", TR, str(tmp_path)).make(trials())


def test_images_are_read_through_an_atlas(tmp_path):
    rng = np.random.default_rng(0)
    series = rng.standard_normal((N, 2)) + 100
    data = np.zeros((4, 4, 4, N), dtype=np.float32)
    labels = np.zeros((4, 4, 4), dtype=np.int16)
    for k in range(2):
        data[k] = series[:, k]
        labels[k] = k + 1
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "sub-s_bold.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "atlas.nii.gz")
    targets = BoldTargets("sub-{subject}_bold.nii.gz", TR, str(tmp_path), "atlas.nii.gz")
    found = targets.make(trials())
    assert found.values == pytest.approx(series[8:], rel=1e-5)
    assert found.units == ("1", "2")


def test_confounds_and_drifts_are_taken_out(tmp_path):
    rng = np.random.default_rng(0)
    k = np.arange(N)
    drift, moved = np.cos(np.pi * (k + 0.5) / N), rng.standard_normal(N)
    fast = np.where(k % 2, 1.0, -1.0)
    np.save(tmp_path / "rec_bold.npy", (fast + 5 * drift + 3 * moved)[:, None])
    (tmp_path / "rec_confounds.tsv").write_text(
        "move\tnot\n" + "".join(f"{m}\tn/a\n" for m in moved)
    )
    targets = BoldTargets(
        "rec_bold.npy",
        TR,
        str(tmp_path),
        confounds="rec_confounds.tsv",
        confound_columns=["move"],
        high_pass=0.01,
    )
    found = targets.make(trials()).values[:, 0]
    assert np.corrcoef(found, fast[8:])[0, 1] > 0.95


def test_confounds_of_another_length_are_refused(tmp_path):
    table(tmp_path)
    table(tmp_path, N + 1, name="rec_confounds.tsv")
    targets = BoldTargets("rec_bold.tsv", TR, str(tmp_path), confounds="rec_confounds.tsv")
    with pytest.raises(ValueError, match="confounds have 61 rows for 60 volumes"):
        targets.make(trials())


@pytest.mark.parametrize(
    ("gap", "window", "least"),
    [(20.0, -16.0, None), (0.0, -16.0, "20"), (20.0, -24.0, "24"), (24.0, -24.0, None)],
)
def test_the_audit_trips_when_the_gap_is_too_short(gap, window, least, tmp_path):
    table(tmp_path)
    table_of = trials(window=(window, 0.0))
    targets = BoldTargets("rec_bold.tsv", TR, str(tmp_path))
    values = targets.make(table_of)
    split = split_trials(table_of, TrialSplitConfig(by="time", folds=2, gap=gap, validation=0))
    # Trials that share samples are kept apart in any case; responses are not.
    assert audit_trials(table_of, split) == []
    findings = targets.audit(table_of, values, split)
    if least is None:
        assert findings == []
    else:
        assert f"a gap of {gap:g} s is less than the {least} s" in findings[0]


def test_what_is_fitted_to_a_scan_that_is_divided_is_found(tmp_path):
    table(tmp_path)
    table_of = trials()
    split = split_trials(table_of, TrialSplitConfig(by="time", folds=2, gap=20, validation=0))
    targets = BoldTargets("rec_bold.tsv", TR, str(tmp_path), high_pass=0.01)
    (finding,) = targets.audit(table_of, targets.make(table_of), split)
    assert "high_pass is fitted to whole scans" in finding


def test_settings_are_checked():
    with pytest.raises(ValueError, match="an atlas belongs to an image"):
        BoldTargets("a.nii.gz", TR)
    with pytest.raises(ValueError, match="high_pass must lie in"):
        BoldTargets("a.tsv", TR, high_pass=0.3)
    with pytest.raises(ValueError, match="t_r must be positive"):
        Volumes(Triggers([]), 0.0)


def test_moments_are_those_of_training_volumes_of_the_recording():
    ids = np.array([volume_name(r, k, 3) for r in "ab" for k in range(3)])
    values = np.array([[0.0], [2.0], [90.0], [5.0], [5.0], [8.0]], dtype=np.float32)
    targets = Targets(ids=ids, rows=np.arange(6), values=values)
    mean, deviation = recording_moments(targets, np.array([0, 1]))
    assert mean[:3, 0].tolist() == [1.0, 1.0, 1.0]
    assert deviation[:3, 0].tolist() == [1.0, 1.0, 1.0]
    # Nothing is learned from b: its own.
    assert mean[3:, 0].tolist() == [6.0] * 3
    assert deviation[3:, 0] == pytest.approx([2**0.5] * 3)
