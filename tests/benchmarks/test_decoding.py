"""The table of real decoding results, and the recordings that are converted for it."""

import importlib
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import mne
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def decoding_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return importlib.import_module("decoding_data")


@pytest.fixture
def decoding(decoding_data: ModuleType) -> ModuleType:
    return importlib.import_module("decoding")


def synthetic_cell(value, interval=(0.4, 0.6)):
    return {
        "measure": "balanced accuracy",
        "value": value,
        "interval": interval,
        "over": "runs",
        "n_units": 4,
        "chance": 0.5,
        "trials": 30,
    }


def test_the_table_has_a_row_per_decoder_and_a_column_per_task(decoding):
    cells = {
        "moved": {"encoder, ridge": synthetic_cell(0.5), "csp": synthetic_cell(0.25, None)},
        "SSVEP": {"encoder, ridge": synthetic_cell(0.75)},
    }
    lines = decoding.table(cells).splitlines()
    # Tasks come in the order of the benchmark, not of the results.
    assert lines[0] == "| decoder | SSVEP | moved |"
    assert "30 trials, chance 0.5" in lines[2]
    assert lines[3] == "| encoder, ridge | 0.750 [0.400, 0.600] | 0.500 [0.400, 0.600] |"
    assert lines[4] == "| csp |  | 0.250 |"
    assert "moved: 4 runs" in lines[-1]


def test_every_task_has_a_preset(decoding, root):
    for task in decoding.TASKS.values():
        assert (root / "configs" / f"finetune_{task.preset}.yaml").is_file()


def test_a_muse_recording_keeps_its_amplitudes_and_markers(decoding_data, tmp_path):
    source = tmp_path / "data/muse/visual/P300/subject1/session1"
    source.mkdir(parents=True)
    values = np.random.default_rng(0).standard_normal((512, 5)) * 50
    table = pd.DataFrame(values, columns=["TP9", "AF7", "AF8", "TP10", "Right AUX"])
    table["Marker0"] = 0
    table.loc[64, "Marker0"], table.loc[256, "Marker0"] = 1, 2
    table.to_csv(source / "run.csv.gz", index=False)
    decoding_data.write_muse(tmp_path / "data", tmp_path / "out")
    (path,) = (tmp_path / "out/muse").iterdir()
    assert path.name == "subject1_session1_run01_raw.fif"
    raw = mne.io.read_raw_fif(path, verbose="error")
    assert raw.ch_names == ["TP9", "AF7", "AF8", "TP10"]
    assert raw.get_data() == pytest.approx(values[:, :4].T * 1e-6, rel=1e-5)
    assert raw.annotations.onset == pytest.approx([0.25, 1.0])
    assert raw.annotations.description.tolist() == ["non-target", "target"]


def test_a_feis_recording_has_one_annotation_for_each_second(decoding_data, tmp_path):
    source = tmp_path / "data/feis/data_eeg/01"
    source.mkdir(parents=True)
    names = [f"E{k}" for k in range(14)]
    table = pd.DataFrame(np.full((512, 14), 4200.0), columns=names)
    table.insert(0, "Epoch", np.repeat([0, 1], 256))
    table.insert(0, "Time:256Hz", np.arange(512) / 256)
    table["Label"] = np.repeat(["goose", "k"], 256)
    with ZipFile(source / "articulators.zip", "w") as archive:
        archive.writestr("articulators.csv", table.to_csv(index=False))
    decoding_data.write_feis(tmp_path / "data", tmp_path / "out")
    raw = mne.io.read_raw_fif(tmp_path / "out/feis/01_raw.fif", verbose="error")
    assert raw.annotations.onset == pytest.approx([0.0, 1.0])
    assert raw.annotations.description.tolist() == ["goose", "k"]
    # The amplifier's offset is gone.
    assert np.abs(raw.get_data()).max() == 0
