"""benchmarks/encode.py runs, and tells what it says it does."""

import json
import subprocess
import sys

import pytest

from brainfm.checkpoints import save_checkpoint


@pytest.mark.slow
def test_a_small_size_runs_through(root, tiny_model, tmp_path):
    checkpoint = save_checkpoint(tiny_model(causal=True), tmp_path / "checkpoint")
    command = [sys.executable, str(root / "benchmarks" / "encode.py"), str(checkpoint)]
    sizes = ["--minutes", "0.2", "0.4", "--channels", "4", "--live-seconds", "2", "--threads", "1"]
    figures = tmp_path / "figures.json"
    subprocess.run([*command, *sizes, "--out", str(figures)], check=True, timeout=200)
    found = json.loads(figures.read_text())
    # 12 and 24 s are 96 and 192 frames of 32 samples at 256 Hz.
    assert [row["frames"] for row in found["offline"]] == [96, 192]
    (live,) = found["live"]
    assert 0 < live["block_ms_median"] <= live["block_ms_p99"]
    assert live["code_waits_ms"] == 125
