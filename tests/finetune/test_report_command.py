"""``brainfm report`` on decoding runs, on folders that hold some, and on several to compare."""

import json

import pytest
from brainfm.finetune.report_command import decoding_runs

from brainfm.cli import main

QUICK = ["--permutations", "40", "--resamples", "50"]


def report(*words):
    return main(["report", *map(str, words), *QUICK])


def test_a_decoding_run_has_its_scores_beside_what_is_finished(make_run, capsys):
    run = make_run(kind="retrieval", effect=2.0, contents=12)
    make_run("run/controls/noise", kind="retrieval", effect=0.0, seed=1, contents=12)
    assert report(run) == 0
    assert f"report in {run / 'report.html'}" in capsys.readouterr().out
    numbers = json.loads((run / "report.json").read_text())
    assert list(numbers["controls"]) == ["noise"]
    assert numbers["not_compared"]["shuffled"] == "not run"
    page = (run / "report.html").read_text()
    for words in ("Synthetic data: run", "Identification among n", "shuffled: not run"):
        assert words in page
    assert 'src="http' not in page


def test_what_was_evaluated_is_taken_until_the_run_changes(make_run, capsys):
    run = make_run(kind="retrieval", effect=2.0)
    words = ["--only-finished", "--occlusion-trials", "0", "--permutations", "20"]
    assert main(["evaluate", str(run), *words]) == 0
    evaluated = run / "evaluation" / "evaluation.json"
    assert report(run) == 0
    numbers = json.loads((run / "report.json").read_text())
    assert numbers == json.loads(evaluated.read_text())
    assert numbers["scores"][0]["n_permutations"] == 20
    make_run("run/controls/noise", kind="retrieval", effect=0.0, seed=1)
    assert report(run) == 0
    numbers = json.loads((run / "report.json").read_text())
    assert list(numbers["controls"]) == ["noise"]
    assert numbers["scores"][0]["n_permutations"] == 40


def test_a_folder_has_every_run_in_it_and_how_they_compare(make_run, capsys):
    good = make_run("all/a", kind="retrieval", effect=2.0)
    null = make_run("all/deep/b", kind="retrieval", effect=0.0, seed=1)
    make_run("all/a/controls/noise", kind="retrieval", effect=0.0, seed=2)
    make_run("all/leak", kind="retrieval", audit=("a sentence is on two sides",))
    folder = good.parent
    assert report(folder) == 0
    out = capsys.readouterr().out
    assert "left out: leak: " in out
    assert "its audit found: a sentence is on two sides" in out
    numbers = json.loads((folder / "report.json").read_text())
    assert list(numbers["decoding"]) == ["a", "deep/b"]
    page = (folder / "report.html").read_text()
    assert "a: Scores" in page
    assert "deep/b: Scores" in page
    (null / "fold-0" / "predictions-test.npz").unlink()
    assert [run.name for run in decoding_runs(folder)] == ["a", "leak"]


def test_several_runs_are_compared(make_run, tmp_path, capsys):
    runs = [
        make_run(name, kind="retrieval", effect=e, subjects=9)
        for name, e in (("a", 2.0), ("b", 0.0))
    ]
    out = tmp_path / "compared.html"
    assert report(*runs, "--out", out) == 0
    numbers = json.loads(out.with_suffix(".json").read_text())
    assert numbers["differences"][0]["interval"][0] > 0
    assert "a is better than b" in out.read_text()
    capsys.readouterr()
    assert report(*runs) == 1
    assert "name the page with --out" in capsys.readouterr().err
    assert report(*runs, "--out", out, "--metric", "nonsense") == 1
    assert "metric must be one of" in capsys.readouterr().err


def test_what_is_no_run_is_said_in_one_line(make_run, tmp_path, capsys):
    run = make_run()
    assert report(run / "fold-0") == 1
    assert f"is one fold of a run; give the run: {run}" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert report(empty) == 1
    assert "has nothing to report on" in capsys.readouterr().err
    assert report(run, "--metric", "accuracy") == 1
    assert "--metric is what several runs are compared by" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "title"), [("train/correlation", "Tokenizer"), ("train/loss", "masked model")]
)
def test_a_training_run_by_itself_has_its_curves(tmp_path, capsys, columns, title):
    logs = tmp_path / "mine" / "logs" / "version_0"
    logs.mkdir(parents=True)
    (logs / "metrics.csv").write_text(f"epoch,step,{columns}\n0,9,0.5\n0,19,0.6\n")
    assert report(tmp_path / "mine") == 0
    files = json.loads((tmp_path / "mine" / "report.json").read_text())["files"]
    assert files == ["tokenizer" if title == "Tokenizer" else "pretrain"]
    page = (tmp_path / "mine" / "report.html").read_text()
    assert title in page
