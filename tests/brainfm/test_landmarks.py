"""A stretch of signal is known again in a part, a copy, a derivative; nothing else is."""

from collections.abc import Callable
from functools import cache

import mne
import numpy as np
import pytest

from brainfm import landmarks
from brainfm.audit import audit
from brainfm.catalogue import catalogue_sources, read_catalogue
from brainfm.cli import main
from brainfm.copies import duplicates
from brainfm.corpus import Corpus
from brainfm.landmarks import MIN_SHARED, LandmarkWatch, sharing
from brainfm.processing import process
from brainfm.recordings import Recording, read_recording, recording_from_raw
from brainfm.samples import SAMPLES, sample_paths
from brainfm.splits import Split, SplitConfig, make_split

NAMES = tuple(f"E{i}" for i in range(12))


def brain(seconds, seed, sfreq=256.0, n_channels=12):
    """1/f-like noise, (C, T) in volts, as an amplifier of 0.1 uV per bit gives it."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_channels, round(seconds * sfreq)))
    spectrum = np.fft.rfft(x) / np.sqrt(np.maximum(np.arange(x.shape[1] // 2 + 1), 1))
    x = np.fft.irfft(spectrum, x.shape[1])
    return np.round(x / x.std() * 200) * 1e-7


def marks(x, names=NAMES, types=None, sfreq=256.0, block=1000):
    standard = (x / 2e-5).astype(np.float16)
    watch = LandmarkWatch(names, types or ["eeg"] * len(x), sfreq)
    for at in range(0, x.shape[1], block):
        watch.add(standard[:, at : at + block])
    return watch.finish()


def common(a, b):
    return len(np.intersect1d(a, b)) / len(a)


CHANGES = {
    "a copy": lambda x: x,
    "an excerpt from an odd sample on": lambda x: x[:, 10_037:25_111],
    "another gain": lambda x: x * 0.3,
    "the other polarity": lambda x: -x,
    "another offset": lambda x: x + 3e-5,
    "another reference": lambda x: x - 0.7 * x[4],
    "a little noise": lambda x: x + np.random.default_rng(9).normal(0, 2e-7, x.shape),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_measurement_is_found(change):
    whole = brain(180, 1)
    found = [marks(brain(180, 2)), marks(whole), marks(CHANGES[change](whole))]
    assert sharing(found).tolist() == [0, 1, 1]


def test_marks_do_not_depend_on_how_the_signal_comes(monkeypatch):
    x = brain(140, 1)
    found = [marks(x, block=block) for block in (256, 20_001, x.shape[1])]
    monkeypatch.setattr(landmarks, "CHUNK_S", 1000.0)
    for part in found:
        np.testing.assert_array_equal(part, marks(x))


def test_fewer_channels_in_another_order_are_enough():
    x = brain(120, 1)
    order = [11, 3, 7, 0, 5, 2, 9]
    part = marks(x[order], [NAMES[i] for i in order])
    assert sharing([marks(x), part]).tolist() == [0, 0]


def test_one_type_is_known_again_without_the_others():
    x, types = brain(60, 1), ["mag"] * 6 + ["eeg"] * 6
    both, alone = marks(x, types=types), marks(x[6:], NAMES[6:])
    assert common(alone, both) == 1


def test_different_recordings_share_nothing():
    found = [marks(brain(120, seed)) for seed in range(12)]
    assert sharing(found).tolist() == list(range(12))
    assert len(np.unique(np.concatenate(found))) == sum(map(len, found))
    assert min(map(len, found)) > 4 * MIN_SHARED


def test_alpha_waves_of_one_frequency_are_not_the_same_measurement():
    time = np.arange(120 * 256) / 256.0

    def relaxed(seed):
        rng = np.random.default_rng(seed)
        strength = np.abs(1 + np.cumsum(rng.normal(0, 0.02, len(time))) % 1)
        phase = 2 * np.pi * 10.8 * time + rng.uniform(0, 6.28)
        waves = np.linspace(1, 3, 12)[:, None] * strength * np.sin(phase)
        return 2e-5 * waves + 0.1 * brain(120, seed)

    assert sharing([marks(relaxed(seed)) for seed in range(6)]).tolist() == list(range(6))


@pytest.mark.parametrize("kind", ["zeros", "sine", "square", "clipped", "alpha"])
def test_signals_that_many_recordings_could_have_are_not_marked(kind):
    time = np.arange(60 * 256) / 256.0
    slow = 1 + 0.5 * np.sin(2 * np.pi * 0.3 * time)
    row = {
        "zeros": 0 * time,
        "sine": np.sin(2 * np.pi * 10 * time),
        "square": np.sign(np.sin(2 * np.pi * 1.3 * time)),
        "clipped": np.clip(1e3 * np.sin(2 * np.pi * 3.1 * time), -1, 1),
        "alpha": slow * np.sin(2 * np.pi * 10.2 * time),
    }[kind]
    rows = 2e-5 * np.linspace(0.2, 1, 12)[:, None] * row
    assert len(marks(rows)) < MIN_SHARED


@pytest.mark.parametrize(("sfreq", "seconds"), [(10.0, 600), (256.0, 4), (256.0, 0.1)])
def test_too_slow_or_too_short_a_signal_has_no_marks(sfreq, seconds):
    assert len(marks(brain(seconds, 1, sfreq), sfreq=sfreq)) == 0


def marks_of(recording: Recording):
    done = process(recording)
    watch = LandmarkWatch(done.sensors.names, done.sensors.types.tolist(), done.sfreq)
    for block in done.blocks():
        watch.add(block)
    return watch.finish()


@cache
def sample_marks():
    """The marks of every bundled recording."""
    return {path.name: marks_of(read_recording(path)) for path in sample_paths()}


def filtered(raw):
    return raw.filter(1, 40, verbose="error")


def resampled(raw):
    return raw.resample(125 if raw.info["sfreq"] >= 200 else 200, verbose="error")


def referenced(raw):
    electrode = raw.ch_names[mne.pick_types(raw.info, eeg=True)[3]]
    return raw.set_eeg_reference([electrode], verbose="error")


def later(raw):
    return raw.crop(2.0123, raw.times[-1] - 0.5)


DERIVATIVES: dict[str, list[Callable]] = {
    "1-40 Hz": [filtered],
    "another rate": [resampled],
    "1-40 Hz and another rate": [filtered, resampled],
    "another reference": [referenced],
    "all of it, cut": [filtered, resampled, referenced, later],
}


@pytest.mark.parametrize("change", DERIVATIVES)
@pytest.mark.parametrize(
    "file", ["eegmmidb_2.edf", "hypyp_2.edf", "muse.edf", "neuromag_2_raw.fif"]
)
def test_derivatives_of_real_recordings_are_found(file, change, samples):
    raw = mne.io.read_raw(samples / file, preload=True, verbose="error")
    for step in DERIVATIVES[change]:
        raw = step(raw)
    known = sample_marks()
    found = marks_of(recording_from_raw(raw))
    where = list(known).index(file)
    assert sharing([*known.values(), found])[-1] == where
    if later not in DERIVATIVES[change]:
        assert common(known[file], found) > 0.8


def test_real_recordings_of_one_person_share_nothing():
    known = list(sample_marks().values())
    assert sharing(known).tolist() == list(range(len(SAMPLES)))
    assert len(np.unique(np.concatenate(known))) == sum(map(len, known))


@pytest.mark.slow
def test_no_two_of_many_real_recordings_share_anything(root, shared_data):
    catalogue = read_catalogue(root / "configs" / "catalogue_example.yaml", root=shared_data)
    found = [marks_of(source.open()) for source in catalogue_sources(catalogue)]
    assert len(found) > 30
    assert sharing(found).tolist() == list(range(len(found)))
    assert len(np.unique(np.concatenate(found))) == sum(map(len, found))


def test_chains_are_one_group_and_few_marks_are_none():
    rows = [np.arange(8), np.arange(4, 12), np.arange(8, 16), np.arange(13, 16), np.zeros(0)]
    assert sharing([row.astype(np.uint64) for row in rows]).tolist() == [0, 0, 0, 3, 4]
    assert sharing([]).tolist() == []


def write(path, x, sfreq=256.0, bads=()):
    names = mne.channels.make_standard_montage("colin27_1020").ch_names[: len(x)]
    raw = mne.io.RawArray(x, mne.create_info(names, sfreq, "eeg"), verbose="error")
    raw.set_montage("colin27_1020", verbose="error")
    raw.info["bads"] = [names[i] for i in bads]
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, verbose="error")
    return path


def test_an_excerpt_under_another_subject_is_reported_and_stays_on_its_side(tmp_path, capsys):
    x = brain(120, 1)
    files = [
        write(tmp_path / "s1" / "long_raw.fif", x),
        write(tmp_path / "s2" / "part_raw.fif", x[:, 12_345:24_000], bads=[0]),
        *(write(tmp_path / f"s{k}" / "x_raw.fif", brain(60, k)) for k in (3, 4, 5, 6)),
    ]
    out = tmp_path / "corpus"
    assert main(["prepare", *map(str, files), "--out", str(out)]) == 0
    assert "s1_long_raw-fif = s2_part_raw-fif" in capsys.readouterr().out
    corpus = Corpus(out)
    infos, shared = list(corpus.recordings), corpus.shared
    assert [[i.subject for i in group] for group in duplicates(infos, shared)] == [["s1", "s2"]]
    halves = {"train": 0.5, "test": 0.5}
    apart = 0
    for salt in range(8):
        config = SplitConfig(fractions=halves, salt=str(salt))
        blind, split = make_split(infos, config), make_split(infos, config, shared=shared)
        assert audit(split, infos, shared=shared) == []
        findings = audit(blind, infos, shared=shared)
        assert findings == [] or "stretch of recording s1_long_raw-fif" in findings[0]
        apart += bool(findings)
    assert apart > 0
    manifest = out / "split.json"
    blind = [make_split(infos, SplitConfig(fractions=halves, salt=str(s))) for s in range(8)]
    next(s for s in blind if audit(s, infos, shared=shared)).save(manifest)
    assert isinstance(Split.load(manifest), Split)
    assert main(["corpus", "audit", str(out)]) == 1
    assert main(["corpus", "info", str(out)]) == 0
    assert "same samples: s1_long_raw-fif, s2_part_raw-fif" in capsys.readouterr().out
