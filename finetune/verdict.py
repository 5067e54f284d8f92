"""Whether a run is above its controls: the first line of everything that is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from brainfm.decoding_scores import Score

from .evaluation_scores import Difference
from .run_controls import spoken

ALPHA = 0.05
LEAK_ALPHA = 0.01
"""Of a control; four are looked at, and a false alarm costs the reader a search."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A control or baseline beside the run: its ``score`` and how much better the run is."""

    score: Score
    difference: Difference


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict.

    Parameters
    ----------
    above
        Whether the score is above chance and above every control, and all controls were compared.
    line
        The first line of the report.
    baselines
        A line on the baselines; empty where there are none.
    warnings
        Controls that find what they must not.
    """

    above: bool
    line: str
    baselines: str = ""
    warnings: tuple[str, ...] = field(default=())


NULLS = ("noise", "shifted", "metadata")
"""Controls without access to what the brain did at the right time: above chance, they show a way
around the brain. Not the shuffled one: where signals differ strongly in one way, a decoder of
shuffled targets goes by it in one direction or the other, so that a single shuffle can be far from
chance on either side."""


def verdict(
    score: Score,
    controls: Mapping[str, Compared],
    missing: Mapping[str, str],
    baselines: Mapping[str, Compared],
    *,
    synthetic: bool = False,
    control: str = "none",
) -> Verdict:
    """Judge a run by its main score.

    Parameters
    ----------
    score
        The main score.
    controls, baselines
        By name, those that were compared.
    missing
        By name, controls that were not compared, and why.
    synthetic
        Whether the recordings are synthetic; the line begins with that word.
    control
        Null control that the run itself is.
    """
    reasons = []
    if score.p_value is None:
        reasons.append("the run has no p-value")
    elif score.p_value >= ALPHA:
        reasons.append(f"it is not above chance (p = {score.p_value:.3g})")
    not_above = [name for name, one in controls.items() if not one.difference.above]
    if not_above:
        listed = ", ".join(f"{spoken(n)} ({controls[n].score.value:.3g})" for n in not_above)
        reasons.append(f"it does not exceed {listed}")
    value = f"{score.name} {score.value:.3g}"
    if score.chance is not None:
        value += f" (chance {score.chance:.3g})"
    if reasons:
        what = "its controls" if controls else "chance"
        line = f"NOT above {what}: {value}; {'; '.join(reasons)}"
    elif not controls:
        line = f"NOT COMPARED with any control: {value}"
    else:
        line = f"above its controls ({', '.join(map(spoken, controls))}): {value}"
    if score.p_value is not None and score.p_value < ALPHA:
        line += f", p = {score.p_value:.2g}"
    if missing:
        listed = ", ".join(f"{spoken(name)} ({why})" for name, why in missing.items())
        line += f"; not compared with {listed}"
    if control != "none":
        line = f"this run is a null control ({spoken(control)}); {line}"
    return Verdict(
        above=bool(controls) and not reasons and not missing,
        line=("synthetic data; " if synthetic else "") + line,
        baselines=_baselines_line(baselines),
        warnings=tuple(_warnings(controls)),
    )


def _baselines_line(baselines: Mapping[str, Compared]) -> str:
    if not baselines:
        return ""
    groups: dict[str, list[str]] = {"above": [], "level with": [], "below": []}
    for name, one in baselines.items():
        gap = one.difference.interval
        below = gap is not None and gap[1] < 0
        where = "above" if one.difference.above else "below" if below else "level with"
        groups[where].append(f"{spoken(name)} ({one.score.value:.3g})")
    said = [f"{where} {', '.join(names)}" for where, names in groups.items() if names]
    return f"baselines: {'; '.join(said)}"


def _warnings(controls: Mapping[str, Compared]) -> list[str]:
    found = []
    for name in NULLS:
        one = controls.get(name)
        if one and one.score.p_value is not None and one.score.p_value < LEAK_ALPHA:
            found.append(
                f"{spoken(name)} alone scores {one.score.value:.3g} (p = {one.score.p_value:.2g}): "
                "targets can be told without the brain, or trials leak"
            )
    return found
