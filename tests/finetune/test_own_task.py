"""The worked example of docs/own_task.md, as it is printed there."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from brainfm.finetune.predictions import Predictions, fold_path, predictions_path
from brainfm.finetune.run_record import RunRecord
from shown_commands import documented


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "own_task.md").read_text(encoding="utf-8")


def blocks(page):
    return dict(re.findall(r"```(python|yaml)\n(.*?)```", page, re.DOTALL))


def test_the_example_is_short(page):
    lines = [line for line in blocks(page)["python"].splitlines() if line.strip()]
    assert len(lines) < 40


@pytest.mark.slow
def test_the_example_runs_as_printed(page, samples, tmp_path):
    shutil.copy(samples / "eeglab_raw.fif", tmp_path)
    (tmp_path / "reaction.py").write_text(blocks(page)["python"])
    (tmp_path / "reaction.yaml").write_text(blocks(page)["yaml"])
    for line in (
        "docs/own_task.md: brainfm finetune fit",
        "docs/own_task.md: brainfm evaluate runs/reaction",
    ):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "brainfm.cli", *documented(line)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "reaction"
    record = RunRecord.load(run)
    assert (record.kind, record.n_folds, record.units) == ("values", 4, ("s",))
    folds = [Predictions.load(predictions_path(fold_path(run, k), "test")) for k in range(4)]
    tested = np.concatenate([fold.trial for fold in folds])
    assert sorted(tested.tolist()) == list(range(20))
    truth = np.concatenate([fold.truth for fold in folds])[np.argsort(tested), 0]
    # From the annotations: 0.95 to 1.36 s, 3.96 to 4.33 s; the square at 34.04 s is not answered.
    assert truth[:2] == pytest.approx([0.41, 0.37], abs=0.011)
    assert truth[11] == 1.0
    assert "its controls" in done.stdout
