"""benchmarks/image_reconstruction.py: a small size runs through, and signal is found."""

import json
import re
import subprocess
import sys

import pytest
from shown_commands import documented


@pytest.mark.slow
def test_signal_comes_back_and_is_drawn(root, tmp_path):
    script, *words = documented("docs/images.md: python benchmarks/image_reconstruction.py --out")
    command = [sys.executable, str(root / script), *words]
    sizes = ["--seeds=1", "--snr", "5", "--pictures=4", "--training=60", "--iterations=8"]
    done = subprocess.run(
        [*command, *sizes, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.startswith("synthetic: 1 seeds, 4 pictures and 60 of training")
    assert "| 5 | prior only |" in done.stdout
    found = json.loads((tmp_path / "numbers.json").read_text())["5"]
    (top_five,) = found["decoded features"]["top-5"]
    # Five of fifty by chance.
    assert top_five > 0.3
    assert set(found) == {"decoded", "prior only", "nearest neighbour", "decoded features"}
    assert all(0 <= found["decoded"][name][0] <= 1 for name in ("conv4", "pixels"))
    assert (tmp_path / "reconstruction-snr-5.png").read_bytes().startswith(b"\x89PNG")
    used = re.findall(r"processor ([\d.]+) s", done.stdout)
    assert len(used) == 2
    assert all(float(seconds) < 30 for seconds in used)
