"""The worked example of docs/bold.md, shorter, through the real commands."""

import json
import re

import numpy as np
import pytest
import yaml
from brainfm.finetune.decoder import load_decoder
from brainfm.finetune.run_record import RunRecord
from shown_commands import documented

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "bold.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def settings(page):
    return yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])


def test_the_preset_parses(capsys):
    assert main(["finetune", "fit", "--config", "bold", "--out", "unused", "--print_config"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["model"]["head"]["class_path"].endswith("BoldHead")
    assert found["data"]["trials"]["window"] == [-16.0, 0.0]
    assert found["data"]["split"]["by"] == "subject"


@pytest.mark.slow
def test_planted_bold_is_decoded_and_its_gap_asked_for(
    settings, tiny_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    # Weights are random; 16 sources keep what 16 electrodes show.
    save_checkpoint(tiny_model(n_sources=16), tmp_path / "checkpoint")
    settings["model"]["backbone"]["init_args"]["checkpoint"] = str(tmp_path / "checkpoint")
    line = documented("docs/bold.md: brainfm simulate")
    words = [*line, "--duration", "400", "--sessions", "3"]
    assert main(words) == 0
    settings["trainer"]["max_epochs"] = 25
    (tmp_path / "bold.yaml").write_text(yaml.safe_dump(settings))
    fit = ["finetune", "fit", "--config", "bold.yaml"]
    assert main(documented("docs/bold.md: brainfm finetune fit")) == 0
    evaluate = [*documented("docs/bold.md: brainfm evaluate"), "--controls", "metadata"]
    few = ["--baselines", "mean", "response_power", "--occlusion-trials", "0"]
    assert main([*evaluate, *few]) == 0
    found = json.loads((tmp_path / "runs/bold/evaluation/evaluation.json").read_text())
    scores = {one["name"]: one for one in found["scores"]}
    assert scores["r"]["value"] > 0.5
    assert scores["r"]["p_value"] < 0.01
    assert all(one["q"] < 0.05 for one in found["details"]["outputs"])
    assert abs(found["details"]["nulls"][0]["mean"]) < 0.1
    assert found["baselines"]["mean"]["score"]["value"] == 0.0
    assert found["baselines"]["response_power"]["score"]["value"] > 0.5
    report = (tmp_path / "runs/bold/evaluation/report.html").read_text()
    assert "turns of the truth" in report
    assert "Measured and predicted" in report
    assert "a line per fold" in report
    assert "no atlas says where they are" in found["left_out"]["map of r"]
    record = RunRecord.load(tmp_path / "runs/bold")
    assert (record.series, record.units) == (True, ("rhythm-0", "rhythm-1", "rhythm-2"))
    decoder = load_decoder(tmp_path / "runs/bold")
    assert np.isfinite(decoder.module.head.lags()).all()

    capsys.readouterr()
    by_time = ["--data.split.by", "time", "--data.split.folds", "2", "--data.split.gap", "5"]
    assert main([*fit, *by_time, "--out", "runs/leaking"]) == 1
    assert "a gap of 5 s is less than the 20 s" in capsys.readouterr().err
