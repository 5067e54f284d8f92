"""The command of stage 3: all folds, continued, repeated, and used on new recordings."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from brainfm.finetune.command import finished
from brainfm.finetune.decoder import load_decoder
from brainfm.finetune.folds import sides_of
from brainfm.finetune.predictions import Predictions, fold_path, predictions_path
from brainfm.finetune.run_record import CONFIG_FILE, RunRecord

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.trial_splits import TRIAL_SPLIT_FILE, TrialSplit


def settings_of(planted_folder, checkpoint, kind):
    return {
        "data": {
            "source": {
                "class_path": "brainfm.finetune.recording_sources.Files",
                "init_args": {"root": str(planted_folder), "files": ["*_raw.fif"]},
            },
            "trials": {"window": [0.0, 1.0]},
            "split": {"by": "subject"},
            "batch_size": 8,
            "cache": str(planted_folder.parent / "cache"),
        },
        "model": {
            "backbone": {
                "class_path": "brainfm.finetune.pretrained.Pretrained",
                "init_args": {"checkpoint": str(checkpoint), "features": "latents"},
            },
            "head": {"class_path": "brainfm.finetune.classification.Classification"},
            "adaptation": {"kind": kind},
            "optimizer": {"lr": 0.01, "warmup_steps": 1},
        },
        "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
    }


@pytest.fixture(scope="module")
def checkpoint(tiny_model, tmp_path_factory):
    return save_checkpoint(tiny_model(), tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="module")
def config(planted_folder, checkpoint, tmp_path_factory):
    """Write the settings of a run and return their file."""
    folder = tmp_path_factory.mktemp("settings")

    def make(kind):
        path = folder / f"{kind}.yaml"
        path.write_text(yaml.safe_dump(settings_of(planted_folder, checkpoint, kind)))
        return str(path)

    return make


def fit(config, run, *words):
    return main(["finetune", "fit", "--config", config, "--out", str(run), *words])


@pytest.fixture(scope="module")
def runs(config, tmp_path_factory):
    """Return the folder of a finished run of a kind, made once."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def of(kind):
        if kind not in made:
            assert fit(config(kind), folder / kind) == 0
            made[kind] = folder / kind
        return made[kind]

    return of


def kept_of(run):
    paths = [predictions_path(fold_path(run, k), "test") for k in range(3)]
    return [Predictions.load(path) for path in paths]


def test_a_run_holds_what_evaluation_reads(runs):
    run = runs("full")
    record, split = RunRecord.load(run), TrialSplit.load(run / TRIAL_SPLIT_FILE)
    assert (record.kind, record.name, record.control) == ("classes", "Pretrained, full", "none")
    assert record.ids == ("left", "right")
    assert (record.n_folds, record.synthetic, record.audit) == (3, True, ())
    assert record.trial_split_digest == split.digest
    assert record.overlap.startswith("overlap with pretraining: not known")
    assert len(record.onsets) == len(record.columns["subject"]) == 72
    for k, found in enumerate(kept_of(run)):
        assert found.trial.tolist() == split.folds[k].indices("test").tolist()
        assert found.target.tolist() == [
            record.ids.index(record.columns["label"][trial]) for trial in found.trial
        ]
        other = Predictions.load(predictions_path(fold_path(run, k), "validation"))
        assert other.trial.tolist() == split.folds[k].indices("validation").tolist()


def test_the_planted_effect_is_found_in_closed_form(runs, capsys):
    hits = [found.output.argmax(1) == found.target for found in kept_of(runs("ridge"))]
    assert np.concatenate(hits).mean() > 0.9
    assert fit(str(runs("ridge") / CONFIG_FILE), runs("ridge")) == 0  # all is there: only the table
    said = capsys.readouterr().out
    assert "balanced accuracy" in said
    assert "(chance 0.500)" in said
    assert "the recordings are synthetic" in said
    assert f"next: brainfm evaluate {runs('ridge')}" in said


@pytest.mark.parametrize("kind", ["full", "ridge"])
def test_the_saved_settings_repeat_a_run_bit_for_bit(runs, tmp_path, kind):
    assert fit(str(runs(kind) / CONFIG_FILE), tmp_path / "again") == 0
    for found, again in zip(kept_of(runs(kind)), kept_of(tmp_path / "again"), strict=True):
        assert np.array_equal(found.output, again.output)


def test_a_fold_alone_is_that_of_the_run(runs, tmp_path):
    words = ["--data.fold", "1"]
    assert fit(str(runs("full") / CONFIG_FILE), tmp_path / "fold-1", *words) == 0
    alone = Predictions.load(predictions_path(tmp_path / "fold-1", "test"))
    assert np.array_equal(alone.output, kept_of(runs("full"))[1].output)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(runs, tmp_path):
    run = tmp_path / "killed"
    words = ["fit", "--config", str(runs("full") / CONFIG_FILE), "--out", str(run)]
    command = [sys.executable, "-m", "brainfm.cli", "finetune", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    checkpoint = fold_path(run, 1) / "checkpoints" / "last.ckpt"
    end = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert predictions_path(fold_path(run, 0), "test").is_file()
    assert not predictions_path(fold_path(run, 2), "test").is_file()
    first = predictions_path(fold_path(run, 0), "test").stat().st_mtime_ns
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    assert predictions_path(fold_path(run, 0), "test").stat().st_mtime_ns == first
    for found, again in zip(kept_of(runs("full")), kept_of(run), strict=True):
        assert np.array_equal(found.output, again.output)


def test_other_settings_in_the_same_folder_are_refused(runs, capsys):
    words = ["--model.optimizer.lr", "0.5", "--data.batch_size", "4"]
    assert fit(str(runs("full") / CONFIG_FILE), runs("full"), *words) == 1
    said = capsys.readouterr().err
    assert "holds a run with other settings (model.optimizer, data.batch_size)" in said


@pytest.mark.parametrize("kind", ["full", "ridge"])
def test_predictions_are_written_anew(runs, kind):
    before = kept_of(runs(kind))
    paths = [predictions_path(fold_path(runs(kind), k), "test") for k in range(3)]
    for path in paths:
        path.unlink()
    assert main(["finetune", "test", "--run", str(runs(kind))]) == 0
    for found, again in zip(before, kept_of(runs(kind)), strict=True):
        np.testing.assert_allclose(found.output, again.output, atol=1e-6)


@pytest.mark.parametrize("kind", ["full", "ridge"])
def test_new_recordings_need_no_labels(runs, planted_files, tmp_path, kind):
    new = planted_files(tmp_path / "new", subjects=1, runs=1, seed=9)
    out = tmp_path / "out"
    words = ["--data.source.init_args.root", str(new), "--data.fold", "2", "--out", str(out)]
    assert main(["finetune", "predict", "--run", str(runs(kind)), *words]) == 0
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert list(rows[0]) == ["recording", "onset", "event", "predicted", "left", "right"]
    for row in rows:
        assert float(row["left"]) + float(row["right"]) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == ("left" if float(row["left"]) > 0.5 else "right")
    if kind == "ridge":
        assert sum(row["predicted"] == row["event"] for row in rows) >= 10
    with np.load(out / "predictions.npz") as arrays:
        assert arrays["output"].shape == (12, 2)


@pytest.mark.parametrize("kind", ["full", "ridge"])
def test_a_finished_fold_decodes_a_recording_in_python(runs, planted_folder, kind):
    import mne

    run = runs(kind)
    decoder, found = load_decoder(run, 1), kept_of(run)[1]
    columns = RunRecord.load(run).columns
    name = columns["recording"][found.trial[0]]
    mine = [k for k, trial in enumerate(found.trial) if columns["recording"][trial] == name]
    file = next(f for f in planted_folder.glob("*.fif") if f.stem.split("_raw")[0] in name)
    raw = mne.io.read_raw_fif(file, verbose="error")
    said = decoder.predict_recording(raw, raw.annotations.onset.tolist())
    assert decoder.ids == ("left", "right")
    np.testing.assert_allclose(said.numpy(), found.output[mine], atol=1e-5)
    with pytest.raises(ValueError, match="the trial at 900 s reaches beyond the recording"):
        decoder.predict_recording(raw, [900.0])


def test_folds_that_leak_are_refused_before_training(config, tmp_path, capsys, monkeypatch):
    from brainfm.finetune import decoding_trials

    monkeypatch.setattr(
        decoding_trials, "audit_trials", lambda *given, **named: ["fold 0: planted leak"]
    )
    assert fit(config("linear"), tmp_path / "run") == 1
    assert "fold 0: planted leak" in capsys.readouterr().err
    assert RunRecord.load(tmp_path / "run").audit == ("fold 0: planted leak",)
    assert not fold_path(tmp_path / "run", 0).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["test", "--run", "nowhere"], "nowhere is no fine-tuning run"),
        (["predict", "--run", "nowhere", "--out", "x"], "nowhere is no fine-tuning run"),
    ],
)
def test_what_is_missing_is_said_in_one_line(words, said, capsys):
    assert main(["finetune", *words]) == 1
    assert said in capsys.readouterr().err


def test_a_head_that_is_no_match_for_ridge(config, tmp_path, capsys):
    words = ["--model.subject_layer.enabled", "true"]
    assert fit(config("ridge"), tmp_path / "run", *words) == 1
    assert "maps of subjects have no closed form" in capsys.readouterr().err


def test_a_run_says_that_its_weights_are_random(config, tmp_path):
    words = ["--model.backbone.init_args.random", "true"]
    assert fit(config("ridge"), tmp_path / "run", *words) == 0
    record = RunRecord.load(tmp_path / "run")
    assert record.name == "Pretrained with random weights, ridge"
    assert record.overlap == "overlap with pretraining: none (not pretrained)"


def test_help_shows_an_example(capsys):
    assert main(["finetune", "--help"]) == 0
    said = capsys.readouterr().out
    assert "brainfm finetune fit --config mine.yaml --out runs/mine" in said
    assert "fit" in said


def test_only_a_real_run_is_sent_on_to_evaluation(runs):
    run = runs("ridge")
    assert finished(run, "none").endswith(f"next: brainfm evaluate {run}")
    assert "next" not in finished(run, "noise")


def test_how_many_trials_each_side_has_is_said(prepared_data):
    # 24 trials of each of 3 people: one trains, one validates, one is tested.
    assert sides_of(prepared_data(), 0) == "24 train, 24 validation, 24 test trials"
