import json
import re

import pytest

from brainfm.cli import main
from brainfm.corpus_file import recording_path
from brainfm.preparation_run import LOCK_FILE


@pytest.fixture
def folder(tmp_path, make_small_corpus):
    return make_small_corpus(tmp_path / "corpus", n_seconds_each=2)


def test_info_counts(folder, capsys):
    assert main(["corpus", "info", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "set0" in out
    assert "mag" in out
    assert "digest" in out


def test_verify_exit_status(folder, capsys):
    assert main(["corpus", "verify", str(folder)]) == 0
    assert "11 files" in capsys.readouterr().out
    path = recording_path(folder, "rec5")
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(bytes(content))
    assert main(["corpus", "verify", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "recordings/rec5.h5: damaged" in out
    assert "1 wrong" in out


def test_split_then_audit(folder, capsys):
    command = ["corpus", "split", str(folder), "--fractions", "train=0.5", "test=0.5"]
    assert main(command) == 0
    manifest = (folder / "split.json").read_bytes()
    assert main(command) == 0
    assert (folder / "split.json").read_bytes() == manifest
    assert main(["corpus", "audit", str(folder)]) == 0
    assert "share nothing" in capsys.readouterr().out
    content = json.loads(manifest)
    content["sides"]["test"].append(content["sides"]["train"][0])
    (folder / "split.json").write_text(json.dumps(content))
    assert main(["corpus", "audit", str(folder)]) == 1
    assert "is on sides train" in capsys.readouterr().out


def test_verify_finds_a_changed_split(folder, capsys):
    assert main(["corpus", "split", str(folder)]) == 0
    assert main(["corpus", "verify", str(folder)]) == 0
    path = folder / "split.json"
    text = path.read_text()
    path.write_text(re.sub(r'"salt": "\w*"', '"salt": " "', text))
    assert main(["corpus", "verify", str(folder)]) == 1
    assert "split.json: damaged, or edited by hand" in capsys.readouterr().out


def test_few_people_are_on_all_sides_and_stay_there(folder, capsys):
    assert main(["corpus", "split", str(folder)]) == 0
    said = capsys.readouterr().out
    content = json.loads((folder / "split.json").read_text())
    assert all(content["sides"][side] for side in ("train", "validation", "test"))
    assert f"salt {content['config']['salt']}: the first that leaves no side empty" in said
    assert main(["corpus", "split", str(folder)]) == 0
    assert json.loads((folder / "split.json").read_text()) == content
    out = ["--out", str(folder / "other.json")]
    assert main(["corpus", "split", str(folder), "--salt", "", *out]) == 0
    assert "is empty: hashes divide few units" in capsys.readouterr().out


def test_split_by_data_set_with_its_own_fractions(folder):
    out = folder / "by_set.json"
    command = ["corpus", "split", str(folder), "--by", "dataset", "--dataset-fractions"]
    assert main([*command, "set0:test=1", "set1:train=1", "--out", str(out)]) == 0
    sides = json.loads(out.read_text())["sides"]
    assert {entry["dataset"] for entry in sides["test"]} == {"set0"}
    assert {entry["dataset"] for entry in sides["train"]} == {"set1"}


def test_index_is_made_again(folder):
    expected = (folder / "index.h5").read_bytes()
    (folder / "index.h5").unlink()
    assert main(["corpus", "info", str(folder)]) == 1
    assert main(["corpus", "index", str(folder)]) == 0
    assert (folder / "index.h5").read_bytes() == expected


@pytest.mark.parametrize("action", ["index", "split"])
def test_what_writes_is_refused_while_another_is_at_work(folder, tmp_path, action, capsys):
    from filelock import FileLock

    index = (folder / "index.h5").stat()
    with FileLock(folder / LOCK_FILE):
        assert main(["corpus", action, str(folder)]) == 1
        assert "is at work on this corpus" in capsys.readouterr().err
        assert (folder / "index.h5").stat() == index
        assert not (folder / "split.json").exists()
        elsewhere = ["--out", str(tmp_path / "own.json")]
        assert main(["corpus", "split", str(folder), *elsewhere]) == 0
        assert main(["corpus", "info", str(folder)]) == 0
    assert main(["corpus", action, str(folder)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nowhere"], "is not a corpus"),
        (["audit", "CORPUS"], "'brainfm corpus split' makes one"),
        (["split", "CORPUS", "--fractions", "train"], "takes SIDE=SHARE"),
        (["split", "CORPUS", "--hold-out-device", "Muse"], "no devices ['Muse']"),
        (["split", "CORPUS", "--by", "nose"], "by must be one of"),
    ],
)
def test_errors_are_one_line(folder, capsys, arguments, message):
    arguments = [str(folder) if a == "CORPUS" else a for a in arguments]
    assert main(["corpus", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
