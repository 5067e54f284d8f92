"""A rank that dies, stops or hangs ends the job, with its reason; then the run goes on."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(300)]

WORDS = ["--ranks.timeout_s=6"]


def start(ranks, coded, run, end, *words, **settings):
    return ranks("pretrain_worker.py", str(coded), str(run), "ddp", end, *WORDS, *words, **settings)


@pytest.mark.parametrize(
    ("end", "statuses", "words", "reason"),
    [
        ("1:5:SIGKILL", [1, -9], [], "rank 1 .* has given no sign of life for 6 s: it was killed"),
        ("0:5:SIGKILL", [-9, 1], [], "rank 0 is gone: it was killed, or its machine is"),
        ("1:5:SIGSTOP", [1, -9], [], "rank 1 .* has given no sign of life for 6 s: it was killed"),
        (
            "1:5:sleep",
            [1, 1],
            ["--ranks.stall_s=12"],
            "no rank has gone on for 12 s; the furthest behind is rank 1 .*",
        ),
    ],
)
def test_the_job_ends_and_says_which_rank(ranks, coded, tmp_path, end, statuses, words, reason):
    begun = time.monotonic()
    start(ranks, coded, tmp_path / "run", end, *words, statuses=statuses)
    lines = [line for said in ranks.said for line in said.splitlines() if re.search(reason, line)]
    assert len(lines) == 1, ranks.said
    assert lines[0].endswith("the same command goes on from the last checkpoint")
    assert time.monotonic() - begun < 100  # start and end included; 60 s are promised for the end
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_a_run_that_lost_a_rank_goes_on_as_if_it_had_not(ranks, coded, tmp_path):
    whole = start(ranks, coded, tmp_path / "whole", "never")
    before = start(ranks, coded, tmp_path / "run", "1:5:SIGKILL", statuses=[1, -9])
    after = start(ranks, coded, tmp_path / "run", "never")
    assert "continuing from step 4" in ranks.said[0]
    for rank in (0, 1):
        found = before[rank]["losses"][:4] + after[rank]["losses"]
        np.testing.assert_array_equal(found, whole[rank]["losses"])


def test_a_rank_started_by_the_trainer_is_named_too(coded, tmp_path):
    """Without torchrun or SLURM the first process starts the others, and may not die unheard."""
    command = [sys.executable, "-m", "brainfm.cli", "pretrain", "fit", "--config", "nano"]
    command += ["--config", f"{coded}/run.yaml", *WORDS, "--out", str(tmp_path / "run")]
    command += ["--trainer.devices=2", "--trainer.strategy=ddp"]
    command += ["--trainer.callbacks+=pretrain_worker.Diary", "--trainer.callbacks.end=1:5:SIGKILL"]
    command += [f"--trainer.callbacks.out={tmp_path}"]
    here = str(Path(__file__).parent)
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1, done.stderr
    assert "ended with SIGKILL; the job ends" in done.stderr
