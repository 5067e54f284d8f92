import json
from dataclasses import replace

import numpy as np
import pytest

from brainfm.recording_info import RecordingInfo
from brainfm.trial_audit import audit_trials
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event
from brainfm.trial_folds import check_classes, split_trials
from brainfm.trial_splits import Fold, TrialSplit, TrialSplitConfig
from brainfm.trials import TrialConfig


def table(n_subjects=4, *, n_runs=2, n_events=12, step=2.0, window=(0.0, 1.0), **same):
    """Trials of two classes and six stimuli, every ``step`` seconds."""
    found = []
    for s in range(n_subjects):
        for r in range(n_runs):
            fields = {"signal_digest": f"{s}{r}", "digest": f"c{s}{r}"} | same
            info = RecordingInfo(
                id=f"s{s}r{r}",
                dataset="d",
                subject=f"s{s}",
                session=f"{r}",
                run=f"{r}",
                sfreq=100.0,
                n_times=int(100 * step * (n_events + 2)),
                **fields,
            )
            events = [
                Event(onset=step * (k + 1), name="ab"[k % 2], stimulus=f"w{k % 6}")
                for k in range(n_events)
            ]
            found.append((info, events))
    return make_trials(found, TrialConfig(window=window))


def planted(trials, split, letters, **changes):
    config = replace(split.config, **changes)
    return TrialSplit(
        config=config, trials_digest=trials.digest, folds=(Fold(sides="".join(letters)),)
    )


@pytest.mark.parametrize(
    ("by", "folds"),
    [
        ("subject", None),
        ("subject", 2),
        ("session", 4),
        ("run", None),
        ("recording", 3),
        ("stimulus", 3),
        ("stimulus", None),
        ("time", 3),
    ],
)
def test_every_trial_is_tested_once_and_no_unit_divided(by, folds):
    trials = table()
    split = split_trials(trials, TrialSplitConfig(by=by, folds=folds, gap=1.0))
    assert audit_trials(trials, split) == []
    tested = np.concatenate([fold.indices("test") for fold in split.folds])
    assert sorted(tested.tolist()) == list(range(len(trials)))
    for fold in split.folds:
        parts = [set(fold.indices(side).tolist()) for side in ("train", "validation", "test")]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts))
        if by != "time":
            units = trials.units(by)
            train, validation, test = (set(units[sorted(part)].tolist()) for part in parts)
            assert train.isdisjoint(validation | test)
            assert validation.isdisjoint(test)


def test_folds_do_not_depend_on_where_they_are_made_but_on_the_salt():
    config = TrialSplitConfig(by="stimulus", folds=3)
    assert split_trials(table(), config) == split_trials(table(), config)
    other = split_trials(table(), replace(config, salt="x"))
    assert other.digest != split_trials(table(), config).digest


def test_a_split_by_time_keeps_the_gap():
    trials = table(1, n_runs=1, n_events=30)
    split = split_trials(trials, TrialSplitConfig(by="time", folds=3, gap=4.0))
    onsets = np.array([t.onset for t in trials.rows])
    for fold in split.folds:
        train, test = (onsets[fold.indices(side)] for side in ("train", "test"))
        # A trial lasts 1 s: from the end of one to the begin of the other.
        assert np.abs(train[:, None] - test).min() - 1 >= 4
    assert "-" in split.folds[1].sides
    with pytest.raises(ValueError, match=r"no (train|validation) trial; .*gap of 100 s"):
        split_trials(trials, TrialSplitConfig(by="time", folds=3, gap=100.0))


def test_a_random_split_of_segments_is_found():
    trials = table(1, n_runs=1, n_events=30)
    split = split_trials(trials, TrialSplitConfig(by="time", folds=3))
    rng = np.random.default_rng(0)
    letters = rng.permutation(list("RRRVT" * 6))
    (finding,) = audit_trials(trials, planted(trials, split, letters))
    assert "alternate in time" in finding
    # The same segments, called a split by subject.
    by_subject = planted(trials, split, letters, by="subject", folds=None)
    findings = audit_trials(trials, by_subject)
    assert any("subject d/s0 is on sides train and test" in f for f in findings)
    assert any("recording (or a copy of it) s0r0" in f for f in findings)


def test_a_stimulus_on_two_sides_is_found():
    trials = table()
    split = split_trials(trials, TrialSplitConfig(by="stimulus", folds=3))
    letters = list(split.folds[0].sides)
    letters[int(split.folds[0].indices("test")[0])] = "R"
    (finding, *_) = audit_trials(trials, planted(trials, split, letters))
    assert "stimulus w" in finding
    assert "is on sides train and test" in finding


@pytest.mark.parametrize(
    ("window", "message"), [((-0.5, 2.0), "overlaps by 0.5 s"), ((0.0, 1.9), "is 0.1 s from")]
)
def test_windows_across_the_border_are_left_out_and_found_where_they_are_not(window, message):
    trials = table(1, n_runs=1, n_events=30, window=window)
    config = TrialSplitConfig(by="time", folds=3, gap=0.2)
    split = split_trials(trials, config)
    assert audit_trials(trials, split) == []
    assert "-" in split.folds[0].sides
    # Nothing left out at the border.
    findings = audit_trials(trials, planted(trials, split, "T" * 10 + "R" * 15 + "V" * 5))
    assert len(findings) == 2
    assert all(message in finding for finding in findings)


def test_a_baseline_across_the_border_counts_as_seen():
    trials = table(1, n_runs=1, n_events=30)
    wide = replace(trials, config=TrialConfig(window=(0.0, 1.0), baseline=(-1.5, -0.5)))
    split = split_trials(wide, TrialSplitConfig(by="time", folds=3))
    letters = "T" * 10 + "R" * 15 + "V" * 5
    assert audit_trials(trials, planted(trials, split, letters)) == []
    assert "overlaps by 0.5 s" in audit_trials(wide, planted(wide, split, letters))[0]


def test_overlapping_trials_of_different_stimuli_are_on_no_two_sides():
    trials = table(2, n_runs=1, n_events=60, step=0.5)
    shown = np.random.default_rng(0).integers(0, 20, len(trials)).tolist()
    rows = (replace(t, stimulus=f"w{k}") for t, k in zip(trials.rows, shown, strict=True))
    trials = replace(trials, rows=tuple(rows))
    split = split_trials(trials, TrialSplitConfig(by="stimulus", folds=3))
    assert audit_trials(trials, split) == []
    assert all("-" in fold.sides for fold in split.folds)


def test_words_stay_with_their_sentence():
    trials = table(4)
    # Three sentences of four words each; "w0" and "w1" are in two of them.
    rows = tuple(replace(t, group=f"g{int(t.onset / 2 - 1) // 4}") for t in trials.rows)
    trials = replace(trials, rows=rows)
    split = split_trials(trials, TrialSplitConfig(by="group"))
    assert audit_trials(trials, split) == []
    assert [fold.held_out for fold in split.folds] == [("g0",), ("g1",), ("g2",)]
    assert [len(fold.indices("test")) for fold in split.folds] == [32] * 3
    assert any(
        "stimulus w" in f
        for f in audit_trials(trials, planted(trials, split, split.folds[0].sides, by="stimulus"))
    )


def test_copies_of_a_recording_stay_together():
    trials = table(4, signal_digest="the same")
    with pytest.raises(ValueError, match="need at least 3 units, the trials have 1"):
        split_trials(trials, TrialSplitConfig(by="subject"))
    apart = table(4)
    split = split_trials(apart, TrialSplitConfig(by="subject"))
    again = planted(trials, split, split.folds[0].sides)
    assert any("copy of it" in finding for finding in audit_trials(trials, again))


def test_stretches_that_recordings_share_forbid_a_split_inside_recordings():
    trials, shared = table(), {"s1r0": "s0r0", "s0r0": "s0r0"}
    config = TrialSplitConfig(by="stimulus", folds=3)
    with pytest.raises(ValueError, match="recordings s0r0 and s1r0 share a stretch"):
        split_trials(trials, config, shared=shared)
    assert audit_trials(trials, split_trials(trials, config), shared=shared) != []
    split = split_trials(trials, TrialSplitConfig(), shared=shared)
    assert len(split.folds) == 3
    assert audit_trials(trials, split, shared=shared) == []


def test_test_stimuli_that_were_trained_on_are_counted():
    split = split_trials(table(), TrialSplitConfig())
    assert [fold.shared_stimuli for fold in split.folds] == [6] * 4
    by_content = split_trials(table(), TrialSplitConfig(by="stimulus", folds=3))
    assert [fold.shared_stimuli for fold in by_content.folds] == [0] * 3


def test_a_class_that_is_tested_but_not_trained_is_an_error():
    trials = table()
    check_classes(trials, split_trials(trials, TrialSplitConfig()))
    by_label = replace(trials, rows=tuple(replace(t, label=t.stimulus) for t in trials.rows))
    split = split_trials(by_label, TrialSplitConfig(by="stimulus", folds=3))
    with pytest.raises(ValueError, match="fold 0 by stimulus trains on no trial of class 'w"):
        check_classes(by_label, split)


def test_the_manifest_comes_back_and_betrays_an_edit(tmp_path):
    trials, path = table(), tmp_path / "trial-split.json"
    split = split_trials(trials, TrialSplitConfig())
    split.save(path, trials)
    assert TrialSplit.load(path) == split
    content = json.loads(path.read_text())
    assert len(content["rows"]) == len(trials)
    assert content["recordings"][0]["subject"] == "s0"
    content["split"]["folds"][0]["sides"] = content["split"]["folds"][1]["sides"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="edited"):
        TrialSplit.load(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="no manifest of trials"):
        TrialSplit.load(path)
    with pytest.raises(ValueError, match="made of other trials"):
        split.check(table(3))
    assert audit_trials(table(3), split) != []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"by": "trial"}, "by must be one of"),
        ({"by": "time"}, "needs a number of folds"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"validation": 1.0}, "validation"),
        ({"gap": -1.0}, "gap"),
    ],
)
def test_bad_settings_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        TrialSplitConfig(**config)
    with pytest.raises(ValueError, match="7 folds by subject need at least 7 units"):
        split_trials(table(), TrialSplitConfig(folds=7))
