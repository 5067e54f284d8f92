import json

import pytest
from brainfm.finetune.comparison import compare_runs, holm, write_comparison
from brainfm.finetune.evaluation_scores import ScoringConfig

QUICK = ScoringConfig(n_permutations=99, n_resamples=200)


def test_holm_by_hand():
    # Sorted .01, .02, .04 times 3, 2, 1, and never less than the one before.
    assert holm([0.04, None, 0.01, 0.02]) == [pytest.approx(0.04), None, 0.03, 0.04]
    assert holm([0.6, 0.5]) == [1.0, 1.0]


def test_runs_of_the_same_trials_are_told_apart_by_what_they_decode(make_run, tmp_path):
    paths = [
        make_run(name, effect=effect, seed=seed, subjects=9)
        for name, effect, seed in (("good", 2.0, 0), ("as good", 2.0, 1), ("null", 0.0, 2))
    ]
    found = compare_runs(paths, QUICK)
    differ = {(one["first"], one["second"]): one["differ"] for one in found["differences"]}
    assert differ == {
        ("good", "as good"): False,
        ("good", "null"): True,
        ("as good", "null"): True,
    }
    for one in found["differences"]:
        assert one["interval"][0] <= one["value"] <= one["interval"][1]
        assert one["p_holm"] >= one["p_value"]
    out = tmp_path / "out"
    write_comparison(found, out / "comparison.html", out / "comparison.json")
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == found
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "good is better than null" in page
    assert "Synthetic data" in page


def test_other_trials_splits_and_kinds_are_refused(make_run):
    run = make_run("a")
    with pytest.raises(
        ValueError, match=r"same trials and sides.*same recordings, events and split"
    ):
        compare_runs([run, make_run("b", by="session")], QUICK)
    with pytest.raises(ValueError, match="same trials and sides"):
        compare_runs([run, make_run("c", events=20)], QUICK)
    with pytest.raises(ValueError, match=r"predicts classes and .* values"):
        compare_runs([run, make_run("d", kind="values")], QUICK)
    with pytest.raises(ValueError, match="at least two different runs"):
        compare_runs([run, run], QUICK)
    with pytest.raises(ValueError, match="its audit found: a leak"):
        compare_runs([run, make_run("e", audit=("a leak",))], QUICK)
