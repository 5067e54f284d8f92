"""The worked example of docs/streaming.md, as it is printed there."""

import json
import re
import shutil
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_example_runs_as_printed(root, samples, tmp_path):
    page = (root / "docs" / "streaming.md").read_text(encoding="utf-8")
    tables, settings, reading, _ = re.findall(r"```(?:python|yaml)\n(.*?)```", page, re.DOTALL)
    for number in (1, 2):
        shutil.copy(samples / f"eegmmidb_{number}.edf", tmp_path)
    (tmp_path / "tables.py").write_text(tables)
    (tmp_path / "eyes.yaml").write_text(settings)
    (tmp_path / "read.py").write_text(reading)

    def run(*words):
        command = [sys.executable, "-P", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("tables.py")
    stream = (
        "brainfm stream nano --file eegmmidb_2.edf --speed 0 --calibration 10 --head runs/eyes "
        "--every 0.5 --out session"
    )
    for line in ("brainfm finetune fit --config eyes.yaml --out runs/eyes", stream):
        assert f"    {line}\n" in page
        said = run("-m", "brainfm.cli", *line.split()[1:])
    decisions = [d for text in said.splitlines() for d in json.loads(text).get("decisions", [])]
    # A minute: the first stretch of 2 s, then one every .5 s.
    assert len(decisions) == 117
    assert all(sum(d["value"].values()) == pytest.approx(1) for d in decisions)
    _, said = run("read.py").splitlines()
    closed, n = map(int, re.match(r"(\d+) of (\d+) decisions", said).groups())
    assert n == pytest.approx(32, abs=1)
    assert closed > 0.7 * n
