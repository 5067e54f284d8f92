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
    lags = re.findall(r"t of (\w+) +([\d.]+), lag ([\d.]+) s", done.stdout)
    assert [kind for kind, *_ in lags] == ["audio", "audio", "video", "video"]
    for _, t, lag in lags:
        assert float(t) > 3
        assert float(lag) <= 2
