import json
import os
import subprocess
import sys

import pytest

from brainfm.atomic import atomic_path, remove_leftovers, write_json_atomic


def test_replaces_whole_file(tmp_path):
    path = tmp_path / "a.json"
    write_json_atomic(path, {"x": 1})
    write_json_atomic(path, {"x": 2})
    assert json.loads(path.read_text()) == {"x": 2}
    assert os.listdir(tmp_path) == ["a.json"]


def test_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json_atomic(path, 1)

    def fail_midway():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_midway()
    assert json.loads(path.read_text()) == 1
    assert os.listdir(tmp_path) == ["a.json"]


def test_nan_is_refused_because_json_has_none(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(tmp_path / "a.json", float("nan"))
    assert os.listdir(tmp_path) == []


def test_killed_writer_leaves_only_what_remove_leftovers_deletes(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from brainfm.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "a.json"
    path.write_text("old")
    status = subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode
    assert status == -9
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    assert len(remove_leftovers(tmp_path)) == 1
    assert os.listdir(tmp_path) == ["a.json"]
