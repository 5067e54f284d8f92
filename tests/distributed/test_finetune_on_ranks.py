"""Fine-tuning on two ranks gives what one gives."""

import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from brainfm.finetune.predictions import Predictions, fold_path, predictions_path

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(400)]

TARGETS = """
import numpy as np
from brainfm.finetune.targets import Targets, TargetSource


class Vectors(TargetSource):
    def make(self, trials):
        values = np.random.default_rng(0).standard_normal((len(trials), 6)).astype(np.float32)
        ids = np.array([f"thing {k}" for k in range(len(trials))])
        return Targets(ids=ids, rows=np.arange(len(trials)), values=values)
"""
TASKS = {
    "classes": {"head": {"class_path": "brainfm.finetune.classification.Classification"}},
    "retrieval": {
        "head": {"class_path": "brainfm.finetune.retrieval.Retrieval"},
        "targets": {"class_path": "synthetic_vectors.Vectors"},
    },
}


@pytest.fixture(scope="module", params=list(TASKS))
def config(request, tiny_model, brain_noise, tmp_path_factory):
    """Settings of a run on four synthetic people: 12 trials each, 5 to a batch of all ranks.

    Classes, whose loss is the mean over trials, and retrieval, which compares those of all ranks.
    """
    import mne

    from brainfm.checkpoints import save_checkpoint

    folder = tmp_path_factory.mktemp("synthetic")
    (folder / "files").mkdir()
    (folder / "synthetic_vectors.py").write_text(TARGETS)
    task = TASKS[request.param]
    names = ["Fz", "C3", "Cz", "C4", "Pz"]
    for k in range(4):
        x = brain_noise(5, 26.0, seed=k)
        with mne.use_log_level("ERROR"):
            raw = mne.io.RawArray(x, mne.create_info(names, 256.0, "eeg"))
            raw.set_montage("standard_1020")
            labels = np.random.default_rng(k).permutation(["left", "right"] * 6).tolist()
            raw.set_annotations(mne.Annotations(1.0 + 2.0 * np.arange(12), 1.0, labels))
            raw.save(folder / "files" / f"sub-{k}_task-synthetic_raw.fif")
    settings = {
        "data": {
            "source": {
                "class_path": "brainfm.finetune.recording_sources.Files",
                "init_args": {"root": str(folder / "files"), "files": ["*.fif"]},
            },
            "trials": {"window": [0.0, 1.0]},
            "split": {"by": "subject", "folds": 2},
            "batch_size": 5,
            "targets": task.get("targets"),
            "cache": str(folder / "cache"),
        },
        "model": {
            "backbone": {
                "class_path": "brainfm.finetune.pretrained.Pretrained",
                "init_args": {
                    "checkpoint": str(save_checkpoint(tiny_model(), folder / "checkpoint")),
                    "features": "latents",
                },
            },
            "head": task["head"],
            "adaptation": {"kind": "two_stage"},
            "optimizer": {"lr": 0.01, "warmup_steps": 1},
        },
        "trainer": {"max_epochs": 3, "accelerator": "cpu", "enable_progress_bar": False},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def start(config, run, *words, **variables):
    command = [sys.executable, "-m", "brainfm.cli", "finetune", "fit", "--config", config]
    return subprocess.Popen(
        [*command, "--out", str(run), *words],
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.path.dirname(config)}
        | {k: str(v) for k, v in variables.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(processes):
    try:
        said = [process.communicate(timeout=180)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes), said


def outputs(run):
    paths = [predictions_path(fold_path(run, k), "test") for k in range(2)]
    return np.concatenate([Predictions.load(path).output for path in paths])


@pytest.fixture(scope="module")
def alone(config, tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    ended([start(config, run)])
    return run


TWO = ("--trainer.strategy", "ddp", "--trainer.devices", "2")


def test_ranks_that_torchrun_starts(config, alone, tmp_path, unused_port):
    """The ranks' parts of a batch differ in size: five trials are three and two."""
    world = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": unused_port, "TORCHELASTIC_RUN_ID": "t"}
    run = tmp_path / "run"
    ended(
        [
            start(config, run, *TWO, RANK=rank, LOCAL_RANK=rank, **world, **where)
            for rank in range(2)
        ]
    )
    np.testing.assert_allclose(outputs(run), outputs(alone), atol=1e-5)


def test_ranks_that_the_trainer_starts_for_every_fold(config, alone, tmp_path):
    run = tmp_path / "run"
    ended([start(config, run, *TWO)])
    np.testing.assert_allclose(outputs(run), outputs(alone), atol=1e-5)
