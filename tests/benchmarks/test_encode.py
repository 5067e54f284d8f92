"""benchmarks/encode.py runs, and tells what it says it does."""

import json
import subprocess
import sys

import pytest
from shown_commands import documented

from brainfm.checkpoints import save_checkpoint


def figures(root, checkpoint, folder, *sizes):
    """What the documented command finds for one checkpoint and these sizes."""
    name = "docs/measurements.md: python benchmarks/encode.py"
    script, *words = documented(name, **{"brainfm/nano": str(checkpoint)})
    path = folder / "figures.json"
    more = ["--live-seconds", "2", "--threads", "1", "--out", str(path)]
    command = [sys.executable, str(root / script), *words, *sizes, *more]
    subprocess.run(command, check=True, timeout=200)
    return json.loads(path.read_text())


@pytest.mark.slow
def test_a_small_size_runs_through(root, tiny_model, tmp_path):
    checkpoint = save_checkpoint(tiny_model(causal=True), tmp_path / "checkpoint")
    sizes = ["--minutes", "0.2", "0.4", "--channels", "4"]
    found = figures(root, checkpoint, tmp_path, *sizes)
    # 12 and 24 s are 96 and 192 frames of 32 samples at 256 Hz.
    assert [row["frames"] for row in found["offline"]] == [96, 192]
    (live,) = found["live"]
    assert 0 < live["block_ms_median"] <= live["block_ms_p99"]
    assert live["code_waits_ms"] == 125


@pytest.mark.slow
def test_eight_minutes_need_the_memory_of_one(root, tmp_path):
    """Of a whole process, most of which are libraries; test_signal_memory.py is stricter."""
    sizes = ["--minutes", "1", "8", "--channels", "64"]
    found = figures(root, root / "brainfm" / "nano", tmp_path, *sizes)
    one, eight = (row["peak_mb"] for row in found["offline"])
    assert eight < 1.08 * one
