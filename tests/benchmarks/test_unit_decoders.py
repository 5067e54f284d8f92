"""benchmarks/unit_decoders.py runs and both sides decode alike."""

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_small_size_runs_through(root):
    command = [sys.executable, str(root / "benchmarks" / "unit_decoders.py")]
    sizes = ["--units=40", "--inputs=100", "--trials=150", "--chosen=30", "--loop=4"]
    done = subprocess.run(
        [*command, *sizes], capture_output=True, text=True, check=True, timeout=120
    )
    text = done.stdout
    assert text.startswith("synthetic: 40 units x 100 inputs x 150 trials, 30 inputs a unit")
    assert re.search(r"^ratio +[\d.]+ x$", text, re.M)
    alike = re.search(r"of one another ([\d.]+)$", text, re.M)
    assert alike is not None
    assert float(alike[1]) > 0.99
