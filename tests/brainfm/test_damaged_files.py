"""Damaged files of three formats: every one ends in the corpus or in the list of failures."""

from pathlib import Path

import mne
import numpy as np
import pytest

from brainfm.cli import main
from brainfm.completeness import cut_short
from brainfm.corpus import Corpus

NAMES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4"]
SFREQ = 200.0


def signal(seconds=8.0):
    rng = np.random.default_rng(0)
    return 1e-5 * rng.standard_normal((len(NAMES), int(seconds * SFREQ)))


def write_fif(folder, seconds=8.0):
    raw = mne.io.RawArray(
        signal(seconds), mne.create_info(NAMES, SFREQ, "eeg"), verbose="error"
    ).set_montage("colin27_1005", verbose="error")
    raw.save(folder / "whole_raw.fif", buffer_size_sec=1.0, verbose="error")
    return [folder / "whole_raw.fif"]


def write_edf(folder):
    from edfio import Edf, EdfSignal

    signals = [
        EdfSignal(row * 1e6, SFREQ, label=name, physical_dimension="uV", physical_range=(-200, 200))
        for name, row in zip(NAMES, signal(), strict=True)
    ]
    Edf(signals).write(folder / "whole.edf")
    return [folder / "whole.edf"]


def write_brainvision(folder):
    channels = "\n".join(f"Ch{i + 1}={name},,0.1,uV" for i, name in enumerate(NAMES))
    (folder / "whole.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=whole.eeg\nMarkerFile=whole.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(NAMES)}\n"
        f"SamplingInterval={1e6 / SFREQ:g}\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n"
        f"[Channel Infos]\n{channels}\n",
        encoding="utf-8",
    )
    (folder / "whole.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=whole.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0,20200101000000000000\n",
        encoding="utf-8",
    )
    (folder / "whole.eeg").write_bytes(np.rint(signal() * 1e7).T.astype("<i2").tobytes())
    return [folder / name for name in ("whole.vhdr", "whole.vmrk", "whole.eeg")]


WRITERS = {"fif": write_fif, "edf": write_edf, "brainvision": write_brainvision}


@pytest.mark.parametrize("name", WRITERS)
def test_whole_files_are_whole(name, tmp_path):
    first = WRITERS[name](tmp_path)[0]
    assert cut_short(first) is None
    assert main(["prepare", str(first), "--out", str(tmp_path / "corpus")]) == 0


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_cut_files_are_reported(name, share, tmp_path, capsys):
    files = WRITERS[name](tmp_path)
    content = files[-1].read_bytes()
    # a BrainVision header does not say how long the data is: only a torn sample shows
    files[-1].write_bytes(content[: int(len(content) * share) // 12 * 12 - 1])
    assert "cut short" in str(cut_short(files[0]))
    assert main(["prepare", str(files[0]), "--out", str(tmp_path / "corpus")]) == 1
    assert "cut short" in capsys.readouterr().out


def mutate(files: list[Path], kind: str, rng: np.random.Generator) -> None:
    """Damage one of the files of a recording in place."""
    path = files[rng.integers(len(files))]
    content = bytearray(path.read_bytes())
    if kind == "cut":
        del content[int(len(content) * rng.random() ** 0.5) :]
    elif kind == "flip":
        for at in rng.integers(0, len(content), 1 + rng.integers(20)):
            content[at] ^= 1 << int(rng.integers(8))
    else:  # the header: bytes replaced by others, digits by digits
        for at in rng.integers(0, min(len(content), 3000), 1 + rng.integers(6)):
            digit = chr(content[at]).isdigit()
            content[at] = int(rng.integers(48, 58)) if digit else int(rng.integers(256))
    path.write_bytes(content)


@pytest.mark.slow
def test_two_hundred_damaged_files_cause_no_crash_and_no_silent_loss(tmp_path, capsys):
    rng = np.random.default_rng(20)
    expected = {}
    kinds = ("cut", "flip", "header")
    for i in range(200):
        name = list(WRITERS)[i % 3]
        folder = tmp_path / f"{i:03d}"
        folder.mkdir()
        files = WRITERS[name](folder)
        kind = kinds[i // 3 % 3]
        mutate(files, kind, rng)
        expected[f"{i:03d}_{files[0].stem}-{files[0].suffix[1:]}"] = (files[0], name, kind)
    out = tmp_path / "corpus"
    sources = [str(path) for path, _, _ in expected.values()]
    assert main(["prepare", *sources, "--out", str(out)]) == 1
    infos = {info.id: info for info in Corpus(out).recordings}
    rows = (out / "failures.tsv").read_text(encoding="utf-8").splitlines()[1:]
    failed = {row.split("\t")[0]: row.split("\t")[2] for row in rows}
    assert set(infos) | set(failed) == set(expected)
    assert not set(infos) & set(failed)
    assert all(len(reason) > 10 for reason in failed.values())
    assert all("Traceback" not in reason for reason in failed.values())
    for name, (_, form, kind) in expected.items():
        if kind == "cut" and form != "brainvision":
            assert name in failed
    for info in infos.values():
        if expected[info.id][2] != "header" and expected[info.id][1] != "brainvision":
            assert info.duration == pytest.approx(8.0, abs=0.01)
    assert 50 < len(failed) < 190
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
