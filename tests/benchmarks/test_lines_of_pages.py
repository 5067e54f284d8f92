"""The benchmarks, called as the pages print it but small: they run to their end and print it."""

import subprocess
import sys

import pytest
from shown_commands import documented

SMALL = {
    "docs/measurements.md: python benchmarks/corpus.py": (
        "--channels=8 --hours=.05 --recordings=3 --batch=8 --workers=1 --repeats=1",
        "on disk: files",
    ),
    "docs/measurements.md: python benchmarks/prepare.py": ("--minutes=1", "2 workers"),
    "docs/measurements.md: python benchmarks/tokenizer.py": (
        "--channels 4 --repeats=1 --modes forward",
        "brainfm / plain",
    ),
    "docs/images.md: python benchmarks/image_reconstruction.py --planted features --snr": (
        "--seeds=1 --snr 5 --pictures=4 --training=20 --iterations=2 --out here",
        "| 5 | prior only |",
    ),
    "docs/images.md: python benchmarks/image_reconstruction.py --planted features --space": (
        "--seeds=1 --snr 5 --pictures=4 --training=20 --iterations=2 --out here",
        "| 5 | prior only |",
    ),
}
"""What makes each short, and what it prints at its end."""

ON_REAL_DATA = {
    "docs/encoding.md: python benchmarks/few_shot_encoding.py": (
        "--families=1 --steps=2 --draws=2",
        "real: mean r",
    ),
    "docs/decoding.md: python benchmarks/decoding.py": (
        "--tasks EEG --decoders ridge",
        "| encoder, ridge |",
    ),
    "docs/export.md: python benchmarks/export.py": ("--repeats=1", "| int8 |"),
    "docs/measurements.md: python benchmarks/tokenizer_quality.py": (
        "--steps=4 --objectives brainfm --quantizers rvq --out quality",
        "all numbers in",
    ),
    "docs/measurements.md: python benchmarks/pretrain_quality.py": (
        "--tokenizer-steps=102 --steps=2 --out quality",
        "all numbers in",
    ),
    "docs/nano.md: python benchmarks/nano.py": (
        "--tokenizer-steps=102 --steps=2 --random=1 --tasks eyes --out runs/nano",
        "MB in runs/nano/nano",
    ),
    "docs/nano.md: python benchmarks/linear_probe.py": (
        "--tasks eyes --poolings moments --seeds=1 --random-tokenizers --out probes",
        "Does pretraining help features?",
    ),
}
"""Those that read recordings which are not part of the repository."""


def run(root, folder, line, size):
    script, *words = line
    done = subprocess.run(
        [sys.executable, str(root / script), *words, *size.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_small_size_runs_to_its_end(root, tmp_path, name):
    size, end = SMALL[name]
    assert end in run(root, tmp_path, documented(name), size)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", ON_REAL_DATA)
def test_few_steps_on_real_data_run_to_their_end(root, tmp_path, shared_data, name):
    size, end = ON_REAL_DATA[name]
    (tmp_path / "data").symlink_to(shared_data)
    line = [word.replace("../shared/data", "data") for word in documented(name)]
    assert end in run(root, tmp_path, line, size)


@pytest.mark.slow
def test_several_modalities_runs_as_the_page_says_in_a_sentence(root, tmp_path):
    line = ["benchmarks/several_modalities.py", "OUT"]
    assert f"`python {' '.join(line)}`" in (root / "docs/fmri.md").read_text()
    assert "trained together" in run(root, tmp_path, line, "--seeds 1 --subjects 1 --epochs 1")


@pytest.mark.slow
@pytest.mark.shared
def test_ssvep_fidelity_runs_as_the_page_says_in_a_sentence(root, tmp_path, shared_data):
    line = ["benchmarks/ssvep_fidelity.py", "CHECKPOINT", "--data", "data"]
    text = " ".join((root / "docs/measurements.md").read_text().split())
    assert f"`python {' '.join(line)}`" in text
    (tmp_path / "data").symlink_to(shared_data)
    line[1] = "nano"
    assert "points in 4 classes" in run(root, tmp_path, line, "--subjects 05 06")
