"""Lines of the pages on sensors, nano, export and encoding, run as they are printed."""

import shutil

import numpy as np
import pytest

from brainfm.cli import main

QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]


def write_signals(path, names, kind="Edf"):
    """Write ten seconds of noise with these channels."""
    edfio = pytest.importorskip("edfio")
    rng = np.random.default_rng(0)
    range_uv = {"physical_dimension": "uV", "physical_range": (-200, 200)}
    signal = getattr(edfio, f"{kind}Signal")
    signals = [
        signal(10 * rng.standard_normal(2560), 256.0, label=name, **range_uv) for name in names
    ]
    getattr(edfio, kind)(signals).write(path)


ELECTRODES = """# ASA electrode file
ReferenceLabel avg
UnitPosition mm
NumberPositions= 4
Positions
{places}
Labels
{names}
"""


@pytest.mark.parametrize("name", ["--montage biosemi128", "--montage electrodes.elc", "--rename",
                                  "--exclude AUX*"])  # fmt: skip
def test_electrodes_without_positions_are_placed(name, terminal, tmp_path):
    names = ["one", "two", "three", "four"]
    places = [(-30, 80, 40), (30, 80, 40), (-60, -20, 60), (60, -20, 60)]
    if name == "--montage biosemi128":
        write_signals(tmp_path / "recording.bdf", ["A1", "A2", "B3", "C4"], "Bdf")
        terminal("docs/sensors.md: brainfm encode nano recording.bdf --montage biosemi128")
    elif name == "--montage electrodes.elc":
        rows = "\n".join(" ".join(map(str, place)) for place in places)
        text = ELECTRODES.format(places=rows, names="\n".join(names))
        (tmp_path / "electrodes.elc").write_text(text)
        write_signals(tmp_path / "recording.edf", names)
        terminal("docs/sensors.md: brainfm encode nano recording.edf --montage electrodes.elc")
    elif name == "--rename":
        write_signals(tmp_path / "recording.edf", ["ch1", "ch2", "Cz", "Oz"])
        terminal("docs/sensors.md: brainfm encode nano recording.edf --rename ch1=Fp1 ch2=Fp2")
    else:
        write_signals(tmp_path / "recording.edf", ["AUX1", "nowhere", "C3", "Cz", "C4"])
        terminal("docs/sensors.md: brainfm encode nano recording.edf --exclude AUX*")
    assert (tmp_path / "features.h5").stat().st_size > 1000


@pytest.mark.slow
def test_the_bundled_model_stands_where_a_checkpoint_is_asked_for(
    terminal, tmp_path, samples, noise_corpus, block
):
    shutil.copy(samples / "hypyp_1.edf", tmp_path / "recording.edf")
    terminal("docs/nano.md: brainfm encode nano recording.edf")
    noise_corpus(tmp_path / "corpus", n=4, seconds=5.0)
    terminal("docs/nano.md: brainfm codes corpus")
    assert list((tmp_path / "codes").glob("*.h5")) or any((tmp_path / "codes").iterdir())
    names = {}
    exec(block("docs/nano.md", "python"), names)
    assert names["features"].values.shape[2] == 128


@pytest.mark.slow
def test_runs_and_checkpoints_leave_as_graphs_and_folders(
    terminal, tmp_path, samples, synthetic_edf, tiny_model, block
):
    from brainfm.checkpoints import save_checkpoint

    pytest.importorskip("onnxruntime")
    shutil.copy(samples / "hypyp_1.edf", tmp_path / "recording.edf")
    for subject in (1, 2, 3):
        synthetic_edf(tmp_path / f"synthetic/S{subject}.edf", seed=subject)
    save_checkpoint(tiny_model(), tmp_path / "tiny")
    words = {
        "data.source": "brainfm.finetune.recording_sources.Files",
        "data.source.root": "synthetic",
        "data.source.files": '["S*.edf"]',
        "data.source.labels": r"(?P<subject>S\d)",
        "data.trials.window": "[0.0, 1.0]",
        "data.split.by": "subject",
        "data.split.validation": 0.0,
        "model.backbone": "brainfm.finetune.pretrained.Pretrained",
        "model.backbone.checkpoint": "tiny",
        "model.head": "brainfm.finetune.classification.Classification",
        "model.adaptation.kind": "lora",
        "trainer.max_epochs": 1,
    }
    line = [f"--{name}={value}" for name, value in words.items()]
    assert main(["finetune", "fit", *line, *QUIET, "--out", "runs/motor"]) == 0
    terminal("docs/export.md: brainfm export nano --format onnx")
    terminal("docs/export.md: brainfm export runs/motor --fold 2 --format onnx")
    terminal("docs/export.md: brainfm export runs/motor --fold 2 --out checkpoints/motor")
    assert (tmp_path / "checkpoints/motor/model.safetensors").exists()
    names = {"raw": "synthetic/S1.edf"}
    exec(block("docs/export.md", "python"), names)
    assert len(names["features"].values) == len(names["features"].times)
    assert len(names["codes"].values) > 0


def test_responses_are_predicted_from_features(terminal, tmp_path):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 5))
    np.savez(tmp_path / "features.npz", layer=features)
    np.save(tmp_path / "responses.npy", features @ rng.standard_normal((5, 8)))
    np.save(tmp_path / "stimuli.npy", np.arange(60) % 12)
    terminal("docs/encoding.md: brainfm encoding features.npz responses.npy")
    assert (tmp_path / "runs/encoding/encoding.json").exists()


def test_python_of_the_page_on_encoding(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(block("docs/encoding.md", "python"), {})
