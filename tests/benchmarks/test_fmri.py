"""benchmarks/fmri.py finds in real recordings what was published."""

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.shared
def test_categories_and_localizer(root, shared_data):
    pytest.importorskip("nilearn", reason="pip install 'brainfm-toolkit[fmri]'")
    command = [sys.executable, str(root / "benchmarks" / "fmri.py"), str(shared_data)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    accuracy = re.search(r"leave a run out: ([\d.]+)", done.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.66
    number = r" +(-?[\d.]+)"
    pattern = rf"t of (\w+){number}, sound - sight{number}, lag{number} s"
    found = re.findall(pattern, done.stdout)
    # Four regions, with volumes at their start and at their middle.
    assert [kind for kind, *_ in found] == ["audio", "audio", "video", "video"] * 2
    for kind, t, difference, lag in found:
        assert float(t) > 3
        assert float(difference) > 2.5 if kind == "audio" else float(difference) < -2.5
        assert float(lag) <= 2
