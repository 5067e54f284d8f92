"""benchmarks/pretrain.py runs and prints every table."""

import re
import subprocess
import sys

import pytest
from shown_commands import documented


@pytest.mark.slow
def test_the_toy_sizes_run_through(root):
    script, *words = documented("docs/measurements.md: python benchmarks/pretrain.py")
    command = [sys.executable, str(root / script), *words, "--quick", "--threads=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    text = done.stdout
    assert text.startswith("synthetic data, 1 threads, toy sizes\n")
    for architecture in ("brainomni", "brainfm"):
        for n_channels in (4, 6):
            row = re.search(rf"^{n_channels}, {architecture} +(\d+) +(\d+) +([\d.]+)", text, re.M)
            assert row is not None
            stored, computed, ratio = map(float, row.groups())
            assert ratio == pytest.approx(stored / computed, abs=0.02)
    assert re.search(r"wait for the loader at nano size: [\d.]+% of \d+ ms", text)
    assert re.search(r"^30 s +[\d.]+ +\d+$", text, re.M)
    assert re.search(r"^2 +[\d.]+ +\d+$", text, re.M)
    assert len(re.findall(r"^(?:on|off) +\d+ +[\d.]+$", text, re.M)) == 2
