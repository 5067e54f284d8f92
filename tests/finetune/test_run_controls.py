import numpy as np
import pytest
import yaml
from brainfm.finetune import run_controls
from brainfm.finetune.control_settings import DoesNotApplyError, control_settings
from brainfm.finetune.run_controls import (
    BASELINES,
    CONTROLS,
    chosen,
    is_finished,
    make_baselines,
    make_beside,
    make_controls,
)
from brainfm.finetune.run_data import settings_of

SETTINGS = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 3, "default_root_dir": "elsewhere"},
    "data": {"cache": "there", "fold": 2, "control": {"kind": "none", "seed": 5}},
    "model": {
        "backbone": {
            "class_path": "brainfm.finetune.pretrained.Pretrained",
            "init_args": {"checkpoint": "c", "random": False},
        },
        "adaptation": {"kind": "frozen"},
    },
    "out": "run",
    "ckpt_path": None,
}


@pytest.fixture
def run(make_run):
    path = make_run(effect=1.0)
    (path / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    return path


@pytest.fixture
def command(monkeypatch, make_run):
    """Take the place of training: write a finished run of nothing and keep what was asked."""
    import brainfm.finetune.command as command

    asked = {}

    def main(argv):
        options = dict(zip(argv[1::2], argv[2::2], strict=True))
        out = options["--out"]
        with open(options["--config"]) as file:
            asked[out.rsplit("/", 1)[-1]] = yaml.safe_load(file)
        made = make_run(f"made-{len(asked)}", seed=len(asked))
        for item in made.iterdir():
            item.rename(f"{out}/{item.name}")
        print("a line of the control's own")
        return 0

    monkeypatch.setattr(command, "main", main)
    return asked


def test_a_control_is_the_run_with_one_setting_changed(run, command, capsys):
    found = make_controls(run, ("noise", "shuffled", "random_backbone"))
    assert set(found.paths) == set(command) == {"noise", "shuffled", "random_backbone"}
    off = ("shifted", "metadata", "prior_only", "nearest_neighbour")
    assert found.missing == dict.fromkeys(off, "switched off")
    plain = settings_of(run)
    assert "out" not in plain
    assert "fold" not in plain["data"]
    assert "default_root_dir" not in plain["trainer"]
    for name in ("noise", "shuffled"):
        expected = {**plain, "data": {**plain["data"], "control": {"kind": name, "seed": 5}}}
        assert command[name] == expected
    assert command["random_backbone"]["model"]["backbone"]["init_args"] == {
        "checkpoint": "c",
        "random": True,
    }
    # The first line on stdout is the verdict's.
    assert capsys.readouterr().out == ""


def test_how_many_runs_follow_is_said_first(run, command, capsys):
    make_controls(run, ("noise",))
    capsys.readouterr()
    make_beside(run, ("noise", "shuffled", "shifted"), ("conv_net",), only_finished=True)
    assert capsys.readouterr().err == ""
    controls, baselines = make_beside(run, ("noise", "shuffled", "shifted"), ("conv_net",))
    assert (set(controls.paths), set(baselines.paths)) == (
        {"noise", "shuffled", "shifted"},
        {"conv_net"},
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"3 runs beside {run} follow: shuffled, shifted, conv net (--")
    said = [line for line in lines if line.endswith(": running")]
    assert said == [
        "control shuffled (1 of 3): running",
        "control shifted (2 of 3): running",
        "baseline conv net (3 of 3): running",
    ]
    make_beside(run, ("noise",), ("conv_net",))
    assert capsys.readouterr().err == ""


def test_what_is_finished_is_not_run_again(run, command):
    first = make_controls(run, ("noise",))
    assert is_finished(first.paths["noise"])
    command.clear()
    assert make_controls(run, ("noise",)) == first
    assert command == {}
    (first.paths["noise"] / "fold-3" / "predictions-test.npz").unlink()
    assert not is_finished(first.paths["noise"])
    found = make_controls(run, ("noise", "shifted"), only_finished=True)
    assert found.paths == {}
    assert found.missing["noise"] == found.missing["shifted"] == "not run"


def test_the_convolutional_net_takes_the_place_of_the_backbone(run, command):
    make_baselines(run, ("conv_net",))
    model = command["conv_net"]["model"]
    assert model["backbone"] == {"class_path": "brainfm.finetune.conv_net.ConvNet"}
    assert model["adaptation"] == {"kind": "full"}


@pytest.mark.parametrize(("kind", "expected"), [("spectrum", "moments"), ("flat", "flat")])
def test_the_convolutional_net_gets_no_pooling_of_waveforms(run, kind, expected):
    plain = settings_of(run)
    plain["model"]["head"] = {"class_path": "C", "init_args": {"pooling": {"kind": kind}}}
    changed = control_settings(plain, "conv_net")
    assert changed["model"]["head"]["init_args"]["pooling"]["kind"] == expected


def test_what_has_no_meaning_or_is_refused_is_said(run, monkeypatch):
    plain = settings_of(run)
    plain["model"]["backbone"] = {"class_path": "brainfm.finetune.conv_net.ConvNet"}
    for name in ("random_backbone", "conv_net"):
        with pytest.raises(DoesNotApplyError):
            control_settings(plain, name)
    (run / "config.yaml").write_text(yaml.safe_dump(plain))
    assert make_controls(run, ("random_backbone",)).inapplicable == {
        "random_backbone": "the backbone is not pretrained"
    }

    plain["model"]["backbone"] = {"class_path": "brainfm.finetune.voxels.Voxels"}
    (run / "config.yaml").write_text(yaml.safe_dump(plain))
    assert "no volumes" in make_baselines(run, ("conv_net",)).inapplicable["conv_net"]

    def refuses(run, folder, name):
        raise ValueError("recordings have\n other channels")

    monkeypatch.setattr(run_controls, "_train", refuses)
    assert make_controls(run, ("noise",)).missing["noise"] == "recordings have other channels"
    # Who runs none is told the same.
    again = make_controls(run, ("noise", "random_backbone", "shuffled"), only_finished=True)
    assert again.missing["noise"] == "recordings have other channels"
    assert again.missing["shuffled"] == "not run"
    assert again.inapplicable == {"random_backbone": "the backbone is not pretrained"}


def test_every_pretrained_encoder_of_several_is_made_random():
    pretrained = {"class_path": "brainfm.finetune.pretrained.Pretrained"}
    voxels = {"class_path": "brainfm.finetune.voxels.Voxels"}
    several = {"class_path": "brainfm.finetune.several_backbones.Several"}
    several["init_args"] = {"backbones": {"eeg": pretrained, "fmri": voxels}}
    changed = control_settings({"model": {"backbone": several}}, "random_backbone")
    found = changed["model"]["backbone"]["init_args"]["backbones"]
    assert found == {"eeg": {**pretrained, "init_args": {"random": True}}, "fmri": voxels}


def test_names_are_checked():
    assert chosen(["all"], CONTROLS, "controls") == CONTROLS
    assert chosen(["none"], CONTROLS, "controls") == ()
    assert chosen(["noise", "noise"], CONTROLS, "controls") == ("noise",)
    assert chosen(["csp"], BASELINES, "baselines") == ("csp",)
    with pytest.raises(ValueError, match="--controls: nothing unknown; one of noise"):
        chosen(["nothing"], CONTROLS, "controls")
    with pytest.raises(ValueError, match="not both"):
        chosen(["all", "noise"], CONTROLS, "controls")
    assert np.unique(CONTROLS).size == len(CONTROLS)


def test_settings_that_do_not_parse_leave_a_control_out(run, monkeypatch):
    import brainfm.finetune.command as command

    def main(argv):
        raise SystemExit(2)

    monkeypatch.setattr(command, "main", main)
    assert "ended with status 2" in make_controls(run, ("noise",)).missing["noise"]
