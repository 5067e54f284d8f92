"""A stretch of signal is known again in a part, a copy, another unit or format; nothing else is."""

import mne
import numpy as np
import pytest

from brainfm.audit import audit
from brainfm.cli import main
from brainfm.copies import duplicates
from brainfm.corpus import Corpus
from brainfm.landmarks import MIN_SHARED, LandmarkWatch, sharing
from brainfm.quality import second_edges
from brainfm.splits import Split, SplitConfig, make_split

NAMES = tuple(f"E{i}" for i in range(12))


def brain(seconds, seed, sfreq=250.0, n_channels=12):
    """1/f-like noise, (C, T) in volts, as an amplifier of 0.1 uV per bit gives it."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_channels, round(seconds * sfreq)))
    spectrum = np.fft.rfft(x) / np.sqrt(np.maximum(np.arange(x.shape[1] // 2 + 1), 1))
    x = np.fft.irfft(spectrum, x.shape[1])
    return np.round(x / x.std() * 200) * 1e-7


def marks(x, names=NAMES, sfreq=250.0, block_s=7):
    edges = second_edges(x.shape[1], sfreq)
    ends = [*edges[block_s:-1:block_s].tolist(), x.shape[1]]
    watch = LandmarkWatch(names, edges, sfreq)
    blocks = [x[:, a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    passed = list(watch.passing(iter(blocks)))
    assert all(one is other for one, other in zip(passed, blocks, strict=True))
    return watch.landmarks()


CHANGES = {
    "a copy": lambda x: x,
    "an excerpt from an odd sample on": lambda x: x[:, 10_037:25_111],
    "microvolts": lambda x: x * 1e6,
    "another offset": lambda x: x + 3e-3,
    "single precision": lambda x: (x * 1e6).astype(np.float32).astype(np.float64),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sfreq", [250.0, 600.614990234375])
def test_the_same_measurement_is_found(change, sfreq):
    whole = brain(180, 1, sfreq)
    found = [marks(brain(180, 2, sfreq), sfreq=sfreq)]
    found += [marks(whole, sfreq=sfreq), marks(CHANGES[change](whole), sfreq=sfreq)]
    assert sharing(found).tolist() == [0, 1, 1]


def test_fewer_channels_in_another_order_are_enough():
    x = brain(120, 1)
    order = [11, 3, 7, 0, 5, 2, 9]
    part = marks(x[order], [NAMES[i] for i in order])
    assert sharing([marks(x), part]).tolist() == [0, 0]


def test_different_recordings_share_nothing():
    found = [marks(brain(120, seed)) for seed in range(12)]
    assert sharing(found).tolist() == list(range(12))
    assert len(np.unique(np.concatenate(found))) == sum(map(len, found))
    assert min(map(len, found)) > 4 * MIN_SHARED


@pytest.mark.parametrize("kind", ["zeros", "sine", "square", "nan", "clipped"])
def test_signals_that_many_recordings_could_have_are_not_marked(kind):
    time = np.arange(60 * 250) / 250.0
    rows = {
        "zeros": 0 * time,
        "sine": np.sin(2 * np.pi * 10 * time),
        "square": np.sign(np.sin(2 * np.pi * 1.3 * time)),
        "nan": np.full(len(time), np.nan),
        "clipped": np.clip(1e3 * np.sin(2 * np.pi * 3.1 * time), -1, 1),
    }
    assert len(marks(np.tile(rows[kind], (12, 1)))) < MIN_SHARED


def test_chains_are_one_group_and_few_marks_are_none():
    rows = [np.arange(8), np.arange(4, 12), np.arange(8, 16), np.arange(13, 16), np.zeros(0)]
    assert sharing([row.astype(np.uint64) for row in rows]).tolist() == [0, 0, 0, 3, 4]
    assert sharing([]).tolist() == []


def write(path, x, sfreq=250.0, bads=()):
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
