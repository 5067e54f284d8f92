import json

import numpy as np
import pytest
import yaml
from brainfm.finetune.run_controls import CONTROLS

from brainfm.cli import main

ALONE = ["--controls", "none", "--baselines", "none", "--occlusion-trials", "0"]
QUICK = ["--permutations", "200", "--resamples", "50", "--occlusion-trials", "0"]


def evaluation(run):
    return json.loads((run / "evaluation" / "evaluation.json").read_text())


@pytest.mark.parametrize("kind", ["classes", "retrieval", "values", "text"])
def test_a_report_of_every_kind(make_run, capsys, kind):
    run = make_run(kind=kind, effect=0.9, contents=12)
    assert main(["evaluate", str(run), *ALONE, *QUICK]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("synthetic data; NOT COMPARED with any control")
    assert "not compared with noise (switched off)" in first
    found = evaluation(run)
    assert found["verdict"] == first
    assert not found["above_controls"]
    for score in found["scores"]:
        assert score["interval"] is not None
        assert score["n_trials"] == found["n_test_trials"] == 192
        assert (score["gallery_size"] is not None) == (kind == "retrieval")
    assert found["trial_split_digest"]
    assert found["left_out"]["sensor maps"] == "switched off"
    page = (run / "evaluation" / "report.html").read_text()
    assert "Synthetic data" in page
    assert "noise: switched off" in page
    assert found["trial_split_digest"] in page


def test_controls_stand_beside_the_score(make_run, capsys):
    run = make_run(effect=2.0)
    for name in CONTROLS:
        make_run(f"run/controls/{name}", effect=0.0, seed=1)
    make_run("run/baselines/riemann", effect=2.0, seed=2)
    words = ["--only-finished", "--baselines", "riemann", "csp"]
    assert main(["evaluate", str(run), *words, *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("synthetic data; above its controls (noise, shuffled, shifted")
    assert "baselines: level with riemann" in lines[1]
    found = evaluation(run)
    assert found["above_controls"]
    assert found["not_compared"] == {"csp": "not run"}
    for one in (*found["controls"].values(), *found["baselines"].values()):
        assert one["score"]["interval"] is not None
        assert one["run_minus_it"]["interval"] is not None
    # A control that decodes as much takes the verdict away.
    make_run("other", effect=2.0)
    make_run("other/controls/metadata", effect=2.0, seed=3)
    words = ["--only-finished", "--controls", "metadata", "--baselines", "none"]
    assert main(["evaluate", str(run.parent / "other"), *words, *QUICK]) == 0
    out = capsys.readouterr().out
    assert "NOT above its controls" in out.splitlines()[0]
    assert "does not exceed metadata" in out.splitlines()[0]
    assert "warning: metadata alone scores" in out


def test_what_cannot_be_evaluated_ends_with_one_line(make_run, capsys, tmp_path):
    def fails(*words):
        assert main(["evaluate", *map(str, words), *QUICK]) == 1
        return capsys.readouterr().err

    leak = make_run("leak", audit=("a sentence is on two sides", "another"))
    assert "its audit found: a sentence is on two sides (and 1 more)" in fails(leak, *ALONE)
    assert "is no fine-tuning run" in fails(tmp_path)
    run = make_run("run")
    assert "--controls: nonsense unknown" in fails(run, "--controls", "nonsense")
    assert "metric must be one of balanced accuracy" in fails(run, *ALONE, "--metric", "x")
    small = make_run("small", kind="retrieval", contents=8)
    assert "of a gallery of 8 contents, got 'top-10'" in fails(small, *ALONE, "--metric", "top-10")
    make_run("run/controls/noise", by="session")
    words = ("--controls", "noise", "--baselines", "none", "--only-finished")
    assert "not judged by the same trials" in fails(run, *words)
    assert "name a folder for the comparison with --out" in fails(run, leak)
    assert main(["evaluate"]) == 2


def test_several_runs_are_compared(make_run, capsys, tmp_path):
    runs = [str(make_run(name, effect=e, subjects=9)) for name, e in (("a", 2.0), ("b", 0.0))]
    assert main(["evaluate", *runs, "--out", str(tmp_path / "c"), *QUICK]) == 0
    assert capsys.readouterr().out.startswith("synthetic data; a is better than b by")
    found = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert found["differences"][0]["interval"][0] > 0


@pytest.mark.slow
def test_a_planted_difference_is_above_controls_that_are_run(planted_files, tmp_path, capsys):
    files = planted_files(tmp_path / "files")
    names = {
        "source": "brainfm.finetune.recording_sources.Files",
        "backbone": "brainfm.finetune.eegnet.EEGNet",
        "head": "brainfm.finetune.classification.Classification",
    }
    source = {"root": str(files), "files": ["*_raw.fif"], "dataset": "synthetic"}
    settings = {
        "seed_everything": 0,
        "trainer": {"max_epochs": 6, "accelerator": "cpu", "enable_progress_bar": False},
        "data": {
            "source": {"class_path": names["source"], "init_args": source},
            "trials": {"window": [0.0, 1.0]},
            "split": {"by": "subject"},
            "batch_size": 8,
        },
        "model": {
            "backbone": {"class_path": names["backbone"]},
            "head": {"class_path": names["head"]},
            "adaptation": {"kind": "full"},
            "optimizer": {"lr": 0.003},
        },
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    run = tmp_path / "run"
    words = ["--config", str(tmp_path / "settings.yaml"), "--out", str(run)]
    assert main(["finetune", "fit", *words]) == 0
    capsys.readouterr()
    words = ["--controls", "noise", "shuffled", "metadata", "--baselines", "band_power"]
    assert main(["evaluate", str(run), *words, *QUICK[:-1], "24"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("synthetic data; above its controls (noise, shuffled, metadata)")
    found = evaluation(run)
    assert found["scores"][0]["value"] > 0.9
    for name in ("noise", "shuffled", "metadata"):
        assert found["controls"][name]["score"]["interval"][0] <= 0.5 + 1e-9
    # The classes differ at C3 and C4; what lies far from both is not missed.
    (sensors,) = found["sensor_maps"]
    assert sensors["device"] == "6 EEG"
    assert np.argmax(sensors["drop"]) in (1, 3)
    assert sensors["drop"][5] < max(sensors["drop"])
