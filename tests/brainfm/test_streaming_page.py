"""The worked example of docs/streaming.md, as it is printed there."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from shown_commands import documented


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
    for name in (
        "docs/streaming.md: brainfm finetune fit",
        "docs/streaming.md: brainfm stream nano --file eegmmidb_2.edf --speed 0",
    ):
        said = run("-m", "brainfm.cli", *documented(name))
    decisions = [d for text in said.splitlines() for d in json.loads(text).get("decisions", [])]
    # A minute: the first stretch of 2 s, then one every .5 s.
    assert len(decisions) == 117
    assert all(sum(d["value"].values()) == pytest.approx(1) for d in decisions)
    _, said = run("read.py").splitlines()
    closed, n = map(int, re.match(r"(\d+) of (\d+) decisions", said).groups())
    assert n == pytest.approx(32, abs=1)
    assert closed > 0.7 * n
    name = "docs/streaming.md: brainfm stream nano --file eegmmidb_2.edf --events"
    said = run("-m", "brainfm.cli", *documented(name), "--speed", "0", "--seconds", "25")
    assert any("decisions" in json.loads(text) for text in said.splitlines())
    shutil.copy(tmp_path / "eegmmidb_1.edf", tmp_path / "recording.edf")
    name = "docs/streaming.md: brainfm stream nano --file recording.edf"
    said = run("-m", "brainfm.cli", *documented(name), "--speed", "0", "--seconds", "30")
    assert sum(json.loads(text)["frames"] for text in said.splitlines()) > 100
