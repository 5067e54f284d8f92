from brainfm.finetune.evaluation_scores import Difference
from brainfm.finetune.verdict import Compared, verdict

from brainfm.decoding_scores import Score


def score(value=0.6, p=0.001):
    return Score(
        name="balanced accuracy",
        value=value,
        n_trials=100,
        chance=0.5,
        p_value=p,
        n_permutations=99,
    )


def beside(value, low, high, p=0.5):
    gap = Difference(value=0.6 - value, interval=None if low is None else (low, high))
    return Compared(score=score(value, p), difference=gap)


WEAK, STRONG = beside(0.5, 0.05, 0.15), beside(0.58, -0.02, 0.06)


def test_above_only_if_every_control_is_exceeded():
    found = verdict(score(), {"noise": WEAK, "shuffled": WEAK}, {}, {})
    assert found.above
    assert found.line == (
        "above its controls (noise, shuffled): balanced accuracy 0.6 (chance 0.5), p = 0.001"
    )
    found = verdict(score(), {"noise": WEAK, "random_backbone": STRONG}, {}, {})
    assert not found.above
    assert found.line.startswith("NOT above its controls: balanced accuracy 0.6")
    assert "does not exceed random backbone (0.58)" in found.line
    assert "noise" not in found.line


def test_a_control_without_an_interval_is_not_exceeded():
    assert not verdict(score(), {"noise": beside(0.5, None, None)}, {}, {}).above


def test_not_above_chance_is_not_above_controls():
    found = verdict(score(p=0.2), {"noise": WEAK}, {}, {})
    assert not found.above
    assert "not above chance (p = 0.2)" in found.line
    assert "no p-value" in verdict(score(p=None), {"noise": WEAK}, {}, {}).line


def test_controls_that_were_off_are_named():
    off = {"noise": "switched off", "shuffled": "switched off"}
    found = verdict(score(), {}, off, {})
    assert not found.above
    assert found.line.startswith("NOT COMPARED with any control")
    assert "not compared with noise (switched off), shuffled (switched off)" in found.line
    found = verdict(score(), {"shifted": WEAK}, {"noise": "switched off"}, {})
    assert not found.above
    assert found.line.startswith("above its controls (shifted)")
    assert found.line.endswith("not compared with noise (switched off)")


def test_baselines_and_synthetic_data_are_said():
    baselines = {"riemann": STRONG, "cca": beside(0.7, -0.2, -0.05), "band_power": WEAK}
    found = verdict(score(), {"noise": WEAK}, {}, baselines, synthetic=True)
    assert found.line.startswith("synthetic data; above its controls")
    assert found.baselines == (
        "baselines: above band power (0.5); level with riemann (0.58); below cca (0.7)"
    )


def test_a_null_control_above_chance_is_a_warning():
    leak = beside(0.55, 0.02, 0.08, p=0.001)
    controls = {"metadata": leak, "random_backbone": leak, "shuffled": leak}
    found = verdict(score(), controls, {}, {})
    # A random net may well decode, and one shuffle may go in the right direction by chance.
    assert len(found.warnings) == 1
    assert "metadata alone scores 0.55 (p = 0.001)" in found.warnings[0]


def test_a_null_control_is_called_one():
    line = verdict(score(), {"noise": WEAK}, {}, {}, control="shuffled").line
    assert line.startswith("this run is a null control (shuffled); above its controls")
