"""The lines of README.md, run as a newcomer would; what makes them short is written here."""

import json
import shutil

import numpy as np
import pytest

from brainfm.samples import SAMPLES

FEW = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2"]
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
ONE_CPU = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--trainer.precision", "32-true"]
"""In place of eight GPUs."""


@pytest.fixture
def recordings(tmp_path, samples, synthetic_edf):
    """Six synthetic recordings of three people, and one of the bundled recordings."""
    for subject in (1, 2, 3):
        for run in (5, 10):
            path = tmp_path / f"data/S{subject}/S{subject}R{run:02}.edf"
            synthetic_edf(path, seed=100 * subject + run)
    shutil.copy(samples / "neuromag_1_raw.fif", tmp_path / "recording.fif")


@pytest.mark.slow
def test_from_recordings_to_a_checkpoint(recordings, terminal, tmp_path):
    terminal("README.md: brainfm prepare data/**/*.edf --line-freq")
    terminal("README.md: brainfm corpus split run/corpus --by subject")
    terminal(
        "README.md: brainfm tokenizer fit --config nano", *FEW, *QUIET, "--model.quantize_after=1"
    )
    terminal("README.md: brainfm export run/tokenizer --out")
    terminal("README.md: brainfm codes run/corpus")
    terminal("README.md: brainfm pretrain fit --config nano", *FEW, *QUIET)
    # What docs/nano.md says in a sentence to have been tried.
    line = "README.md: brainfm pretrain fit --config nano"
    terminal(line, *FEW, *QUIET, "--model.masking.kind=scattered", "--out", "run-scattered")
    terminal("README.md: brainfm export run/pretrain --out")
    terminal("README.md: brainfm report run")
    terminal("README.md: brainfm tokenizer card run/tokenizer-checkpoint")
    assert (tmp_path / "run/report.html").stat().st_size > 10_000
    assert (tmp_path / "run/checkpoint/model.safetensors").exists()
    assert list((tmp_path / "run/card").iterdir())
    small = ["--model.model.width=64", "--model.model.depth=2", "--data.windows_per_batch=2"]
    line = "README.md: brainfm pretrain fit --config base --config engine_gpus_zero2"
    terminal(line, *FEW, *QUIET, *ONE_CPU, *small, "--out", "run/pretrain-base")


@pytest.mark.slow
def test_features_and_a_decoder_of_ones_own(recordings, terminal, tmp_path, block):
    terminal("README.md: brainfm encode nano recording.fif")
    terminal("README.md: brainfm stream nano --file recording.fif", "--speed", "0")
    (tmp_path / "mine.yaml").write_text(block("README.md", "yaml"))
    terminal("README.md: brainfm finetune fit --config mine.yaml", *QUIET)
    short = ["--controls", "shuffled", "--baselines", "band_power", "--occlusion-trials", "0"]
    terminal("README.md: brainfm evaluate runs/mine", *short)
    terminal("docs/evaluation.md: brainfm finetune fit", *QUIET, "--out", "runs/other")
    terminal("docs/evaluation.md: brainfm evaluate runs/mine runs/other")
    terminal("docs/evaluation.md: brainfm report runs/mine runs/other")
    found = json.loads((tmp_path / "runs/mine/evaluation/evaluation.json").read_text())
    assert found["scores"][0]["value"] > 0.8  # planted
    terminal("docs/evaluation.md: brainfm report runs/mine", "--out", "runs/mine.html")
    terminal("docs/evaluation.md: brainfm report runs")
    assert (tmp_path / "runs/report.html").exists()


def test_python_of_the_first_page(block, samples):
    import mne

    raw = mne.io.read_raw(samples / "hypyp_1.edf", verbose="error").crop(0, 20)
    names = {"raw": raw}
    exec(block("README.md", "python", 0), names)
    assert names["features"].values.shape[0] == len(names["features"].times)
    assert len(names["codes"].values) == len(names["codes"].times)
    x = 1e-5 * np.random.default_rng(0).standard_normal((10, 4, 512))
    info = mne.create_info(["Fz", "C3", "C4", "Oz"], 256.0, "eeg")
    info.set_montage("standard_1020")
    epochs = mne.EpochsArray(x, info, verbose="error")
    exec(block("README.md", "python", 1), {"epochs": epochs, "x": x, "y": np.arange(10) % 2})


def test_the_files_of_the_pages_are_bundled():
    assert {"neuromag_1_raw.fif", "hypyp_1.edf"} <= {sample.file for sample in SAMPLES}
