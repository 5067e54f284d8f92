"""The preset of eight categories, on one real person."""

import pytest
from brainfm.finetune.decoded_run import load_run
from brainfm.finetune.measures import measures_of
from shown_commands import documented

from brainfm.cli import main


@pytest.mark.shared
@pytest.mark.slow
def test_eight_categories_are_decoded_from_real_voxels_and_shuffled_ones_are_not(
    shared_data, tmp_path
):
    folder = str(shared_data / "fmri_haxby")
    words = documented("docs/fmri.md: brainfm finetune fit --config haxby", DIR=folder)
    words += ["--data.cache", str(tmp_path / "cache"), "--data.split.folds", "4"]
    found = {}
    for control in ("none", "shuffled"):
        run = tmp_path / control
        assert main([*words, "--data.control.kind", control, "--out", str(run)]) == 0
        main_measure = measures_of(load_run(run))[0]
        given = main_measure.prediction, main_measure.target
        found[control] = main_measure.metric.compute(*given)
    evaluate = documented(
        "docs/fmri.md: brainfm evaluate", **{"runs/haxby": str(tmp_path / "none")}
    )
    few = ["--controls", "prior_only", "--baselines", "none", "--occlusion-trials", "0"]
    assert main([*evaluate, *few]) == 0
    # Leave-one-out has more training runs; the floor is that of a decoder of the field there.
    assert found["none"] > 0.66
    # 64 blocks at chance .125: above .25 with p = .003.
    assert found["shuffled"] < 0.25
