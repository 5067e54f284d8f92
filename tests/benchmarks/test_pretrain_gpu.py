"""benchmarks/pretrain_gpu.py where there is no GPU: it measures, and prints what it measured."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def bench(root: Path) -> ModuleType:
    path = root / "benchmarks" / "pretrain_gpu.py"
    spec = importlib.util.spec_from_file_location("pretrain_gpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_engines_are_compared_on_a_setting_that_is_measured_plain(bench: ModuleType) -> None:
    found = list(bench.settings(bench.parse([])))
    assert len(found) == len(set(found)) == 3 * (3 * 3 + 4)
    for size, engine, context_s, windows in found:
        if engine != "plain":
            assert (size, "plain", context_s, windows) in found


@pytest.mark.parametrize("compiled", [False, True])
def test_a_setting_is_measured_in_this_process(bench: ModuleType, compiled: bool) -> None:
    import torch

    words = ["--steps=2", "--checkpointing", *["--compile"] * compiled]
    with torch.compiler.set_stance("force_eager"):
        found = bench.measure_here("nano", "plain", 4.0, 2, bench.parse(words))
    assert found["tokens_per_second"] > 100
    # Two windows of 4 s are 16 sources x 4 frames/s: 64 tokens for each second of signal.
    hours = found["tokens_per_second"] / 64 / 3600
    assert found["signal_hours_per_second"] == pytest.approx(hours)
    assert 0 < found["matmul_share"] < 1


@pytest.mark.slow
@pytest.mark.deepspeed
def test_the_quick_run_prints_a_line_for_every_engine(root: Path) -> None:
    command = [sys.executable, str(root / "benchmarks" / "pretrain_gpu.py"), "--quick"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("nano, 2 x 10 s")]
    assert [re.split(r", | on", line)[2].split()[0] for line in lines] == ["plain", "zero_2"]
    assert all(re.search(r"( +\d+(\.\d+)?){6}$", line) for line in lines)
