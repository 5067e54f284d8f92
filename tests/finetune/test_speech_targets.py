import numpy as np
import pytest
from brainfm.finetune.speech_targets import SpeechTargets, sound_files
from scipy.io import wavfile

from brainfm.audio_features import AudioFeatureConfig
from brainfm.log_mel import log_mel
from brainfm.recording_info import RecordingInfo
from brainfm.speech_segments import SpeechSegment, heard_id
from brainfm.target_audit import audit_contents, audit_context
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event, content_id
from brainfm.trial_folds import split_trials
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trials import TrialConfig

RATE = 8000


def noise(seconds, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) / 9).astype("f4")


def save(path, samples):
    wavfile.write(path, RATE, samples)
    return content_id(path.read_bytes())


def trials_of(stimuli, *, window=(0.0, 1.0), subjects=("s1",), groups=None, step=5.0):
    groups = groups or [""] * len(stimuli)
    found = []
    for subject in subjects:
        info = RecordingInfo(
            id=f"synthetic-{subject}", dataset="d", subject=subject, sfreq=100.0, n_times=100_000,
            digest=subject,
        )  # fmt: skip
        events = [
            Event(onset=5.0 + step * k, name="word", stimulus=stimulus, group=group)
            for k, (stimulus, group) in enumerate(zip(stimuli, groups, strict=True))
        ]
        found.append((info, events))
    return make_trials(found, TrialConfig(window=window))


def segment(sound, at, begin=0.0, end=None):
    return SpeechSegment(sound=sound, at=at, begin=begin, end=end).id


def test_targets_are_the_features_of_what_was_heard_in_the_window(tmp_path):
    sound = noise(6)
    name = save(tmp_path / "a.wav", sound)
    trials = trials_of([segment(name, 2.0), segment(name, 3.5)], window=(-0.5, 1.0))
    source = SpeechTargets([str(tmp_path)], rate=100.0, delay_s=0.1)
    targets = source.make(trials)
    whole, _ = log_mel(sound, RATE, n_bands=40)
    assert targets.values.shape == (2, 150, 40)
    for row, at in zip(targets.rows, (2.0, 3.5), strict=True):
        # From .5 s before the event, and .1 s less because the brain is later.
        first = round((at - 0.6) * 100)
        np.testing.assert_allclose(targets.values[row], whole[first : first + 150], atol=2e-3)


def test_nothing_beyond_the_split_unit_reaches_a_target(tmp_path):
    sound = noise(6)
    other = sound.copy()
    other[: 2 * RATE], other[4 * RATE :] = noise(2, 1), noise(2, 2)
    made = []
    for k, samples in enumerate((sound, other)):
        folder = tmp_path / str(k)
        folder.mkdir()
        name = save(folder / "a.wav", samples)
        stimuli = [segment(name, at, 2.0, 4.0) for at in (2.0, 3.5)]
        made.append(SpeechTargets([str(folder)]).make(trials_of(stimuli, window=(-0.5, 1.0))))
    np.testing.assert_array_equal(made[0].values, made[1].values)
    np.testing.assert_array_equal(made[0].ids, made[1].ids)
    # Frames before 2 s and from 4 s on hold the mean of the others.
    first, second = (made[0].values[row] for row in made[0].rows)
    for beyond, inside in ((first[:60], first[60:]), (second[120:], second[:120])):
        assert (beyond == beyond[0]).all()
        np.testing.assert_allclose(beyond[0], inside.mean(0), rtol=1e-4, atol=1e-4)
        assert (np.diff(inside, axis=0) != 0).any(axis=1).all()


def test_a_target_is_the_same_whatever_else_is_heard(tmp_path):
    """Mean and deviation over all sounds would tell training of the sounds of the test."""
    names = [save(tmp_path / f"{k}.wav", noise(4, k) * 10**k) for k in range(3)]
    alone = SpeechTargets([str(tmp_path)]).make(trials_of([segment(names[0], 1.0)] * 2))
    among = SpeechTargets([str(tmp_path)]).make(trials_of([segment(n, 1.0) for n in names]))
    np.testing.assert_array_equal(alone.values[alone.rows[0]], among.values[among.rows[0]])


def test_the_same_sound_is_one_thing_for_all_subjects_under_any_name(tmp_path):
    sound = noise(4)
    one = save(tmp_path / "a.wav", sound)
    # The same second of sound, 1.5 s later in another file.
    two = save(tmp_path / "b.wav", np.concatenate([noise(1.5, 3), sound]))
    stimuli = [segment(one, 1.0), segment(one, 2.0), segment(two, 2.5)]
    targets = SpeechTargets([str(tmp_path / "*.wav")]).make(trials_of(stimuli, subjects=("x", "y")))
    assert len(targets.ids) == 2
    a, b, c = targets.rows[:3].tolist()
    assert a == c != b
    assert targets.rows[3:].tolist() == [a, b, c]


def test_sounds_that_were_not_attended_are_rivals(tmp_path):
    one, two = save(tmp_path / "a.wav", noise(4)), save(tmp_path / "b.wav", noise(4, 1))
    left, right = SpeechSegment(sound=one, at=1.0), SpeechSegment(sound=two, at=1.0)
    stimuli = [heard_id(left, [right]), heard_id(right, [left])]
    targets = SpeechTargets([str(tmp_path)]).make(trials_of(stimuli))
    assert targets.rivals.shape == (2, 1)
    assert targets.rivals[:, 0].tolist() == targets.rows[::-1].tolist()
    with pytest.raises(ValueError, match="0 to 1 sounds beside"):
        SpeechTargets([str(tmp_path)]).make(trials_of([stimuli[0], right.id]))


def test_what_is_missing_or_too_short_is_said(tmp_path):
    name = save(tmp_path / "a.wav", noise(4))
    source = SpeechTargets([str(tmp_path)])
    with pytest.raises(ValueError, match=r"a\.wav .* lasts 4 s, but its events speak of 9 s"):
        source.make(trials_of([segment(name, 2.0), segment(name, 9.0)]))
    with pytest.raises(ValueError, match="events speak of 6 s"):
        source.make(trials_of([segment(name, 2.0, 1.0, 6.0), segment(name, 1.0)]))
    with pytest.raises(FileNotFoundError, match="1 sounds that were heard are not among the 1"):
        source.make(trials_of([segment(name, 2.0), segment("ffff", 9.0)]))
    with pytest.raises(ValueError, match=r"at 10 s of recording synthetic-s1 has no sound"):
        source.make(trials_of([segment(name, 2.0), "a:b"]))
    with pytest.raises(ValueError, match="there is nothing of the unit"):
        source.make(trials_of([segment(name, 1.0, 1.0, 1.5)] * 2, window=(0.6, 1.0)))
    with pytest.raises(FileNotFoundError, match="no WAV file in"):
        sound_files([str(tmp_path / "nowhere" / "*.wav")])


def test_features_on_the_disk_are_those_in_memory_and_are_not_made_again(tmp_path, monkeypatch):
    name = save(tmp_path / "a.wav", noise(6))
    trials = trials_of([segment(name, at) for at in (1.0, 2.0, 4.0)])
    plain = SpeechTargets([str(tmp_path / "a.wav")]).make(trials)
    cache = tmp_path / "cache"
    kept = SpeechTargets([str(tmp_path / "a.wav")], cache=str(cache)).make(trials)
    np.testing.assert_array_equal(plain.values, kept.values)
    assert isinstance(kept.values, np.memmap)
    assert not list(cache.glob(".*"))
    import brainfm.finetune.speech_targets as module

    monkeypatch.setattr(module, "features_at", None)
    again = SpeechTargets([str(tmp_path / "a.wav")], cache=str(cache)).make(trials)
    np.testing.assert_array_equal(plain.values, again.values)
    with pytest.raises(TypeError):
        SpeechTargets(
            [str(tmp_path / "a.wav")], AudioFeatureConfig(mel_bands=20), cache=str(cache)
        ).make(trials)


def blocks_of(name, n=12, *, whole=False):
    """Two words in each of n units of 2 s; units are the whole sound if asked for."""
    stimuli, groups = [], []
    for k in range(n):
        for at in (2.0 * k, 2.0 * k + 1):
            stimuli.append(segment(name, at) if whole else segment(name, at, 2.0 * k, 2.0 * k + 2))
            groups.append(content_id(f"sentence {k}"))
    return stimuli, groups


def test_the_audit_finds_planted_leaks_and_nothing_else(tmp_path):
    name = save(tmp_path / "a.wav", noise(24))
    source = SpeechTargets([str(tmp_path / "a.wav")])

    def audit(stimuli, groups, by):
        trials = trials_of(stimuli, groups=groups, subjects=("x", "y"))
        split = split_trials(trials, TrialSplitConfig(by=by, folds=3))
        return source.audit(trials, source.make(trials), split)

    stimuli, groups = blocks_of(name)
    assert audit(stimuli, groups, "group") == []
    # Words of one sentence on several sides: a random split of segments.
    random_split = audit(stimuli, groups, "stimulus")
    assert len(random_split) == 3
    assert "is computed from" in random_split[0]
    # Features of the whole story.
    assert "0 s to its end of sound" in audit(*blocks_of(name, whole=True), "group")[0]
    # All sides hear everything: that is no leak but what the split is.
    trials = trials_of(stimuli, groups=groups, subjects=("x", "y", "z"))
    split = split_trials(trials, TrialSplitConfig(by="subject"))
    assert source.audit(trials, source.make(trials), split) == []


def test_a_sentence_on_two_sides_under_two_names_is_found(tmp_path):
    sound = noise(12)
    one = save(tmp_path / "a.wav", sound)
    copy = save(tmp_path / "b.wav", np.append(sound, noise(1, 1)))
    source = SpeechTargets([str(tmp_path)])
    parts = [blocks_of(name, 6) for name in (one, copy)]
    stimuli = parts[0][0] + parts[1][0]
    groups = parts[0][1] + [f"another {k}" for k in parts[1][1]]
    trials = trials_of(stimuli, groups=groups)
    split = split_trials(trials, TrialSplitConfig(by="group", folds=4))
    targets = source.make(trials)
    assert audit_context(trials, split) == []
    found = audit_contents(trials, split, targets.rows, targets.ids)
    assert found
    assert "under other names" in found[0]
    assert source.audit(trials, targets, split) == found
