"""The demo: the whole line through the real command line, with as little training as possible."""

import json

import h5py
import pytest
from shown_commands import documented

import brainfm
from brainfm.catalogue import read_catalogue
from brainfm.cli import main
from brainfm.demo import Step, run_demo, side_of, steps
from brainfm.samples import CATALOGUE, SAMPLES


def test_commands_are_in_the_order_of_the_data(tmp_path):
    names = [step.command[0] for step in steps(tmp_path, None, None)]
    learn = "prepare corpus tokenizer export codes pretrain export"
    assert names == [*learn.split(), *["encode", "finetune", "evaluate", "report"]]


def test_catalogue_agrees_with_the_table_of_samples():
    roles = {"train": "train", "validation": "held-out", "test": "unseen"}
    listed = {
        entry.root / file: roles[side_of(entry.name)]
        for entry in read_catalogue(CATALOGUE)
        for file in entry.files
    }
    assert listed == {sample.path: sample.role for sample in SAMPLES}


def test_finished_steps_are_kept_and_a_failure_stops(tmp_path):
    ran = []
    todo = [
        Step(command=["one"], result=tmp_path / "demo" / "one.done"),
        Step(command=["two"], result=tmp_path / "demo" / "two.done"),
        Step(command=["three"], result=tmp_path / "demo" / "three.done"),
    ]

    def command(name, argv):
        ran.append(name)
        return 1 if name == "two" else 0

    assert run_demo(tmp_path / "demo", todo, command) == 1
    assert run_demo(tmp_path / "demo", todo, command) == 1
    assert ran == ["one", "two", "two"]


def test_another_demo_in_the_same_folder_is_refused(tmp_path):
    run_demo(tmp_path, [Step(command=["a"], result=tmp_path / "a")], lambda *_: 1)
    with pytest.raises(ValueError, match="other settings"):
        run_demo(tmp_path, [Step(command=["b"], result=tmp_path / "b")], lambda *_: 1)


@pytest.mark.slow
def test_whole_line(tmp_path, capsys):
    out = tmp_path / "demo"
    line = documented("docs/install.md: brainfm demo", **{"runs/demo": str(out)})
    line += ["--tokenizer-steps", "102", "--pretrain-steps", "3"]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "correlation" in printed
    assert "its controls (noise, shuffled, metadata): balanced accuracy" in printed
    assert "report.html" in printed
    assert (out / "report.html").stat().st_size > 100_000
    json.loads((out / "report.json").read_text())
    with h5py.File(out / "features.h5") as file:
        assert file["values"].ndim == 3
    model = brainfm.from_pretrained(out / "checkpoint")
    assert model.model.masked_model is not None
    assert main(line) == 0
    assert capsys.readouterr().out.count("done before") == 11
