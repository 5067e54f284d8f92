"""Targets of trials that showed pictures: which picture, which concept, what features."""

import numpy as np
import pytest
import torch
from brainfm.finetune.image_targets import ImageTargets
from matplotlib.image import imsave
from torch import nn

from brainfm.network_features import ImageInput
from brainfm.recording_info import RecordingInfo
from brainfm.trial_cutting import make_trials
from brainfm.trial_events import Event, content_id
from brainfm.trial_folds import split_trials
from brainfm.trial_splits import TrialSplitConfig
from brainfm.trials import TrialConfig

GIVEN = ImageInput(pixels=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class MeanColour(nn.Module):
    """Features that are known: the mean of red, green and blue."""

    def __init__(self):
        super().__init__()
        self.colour = nn.AdaptiveAvgPool2d(1)
        self.calls = 0

    def forward(self, x):
        self.calls += len(x)
        return self.colour(x)


def save(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, np.tile(np.array(colour, dtype=np.uint8), (10, 14, 1)))
    return content_id(path.read_bytes())


def trials_of(stimuli, groups=None, subjects=("s1",)):
    found = []
    for subject in subjects:
        info = RecordingInfo(
            id=f"synthetic-{subject}", dataset="d", subject=subject, sfreq=100.0, n_times=100_000,
            digest=subject,
        )  # fmt: skip
        events = [
            Event(onset=5.0 + 5 * k, name="image", stimulus=s, group=(groups or stimuli)[k])
            for k, s in enumerate(stimuli)
        ]
        found.append((info, events))
    return make_trials(found, TrialConfig(window=(0.0, 1.0)))


def targets(images, **settings):
    settings = {"network": MeanColour(), "given": GIVEN, "layer": "colour"} | settings
    return ImageTargets([str(images)], **settings)


@pytest.fixture
def pictures(tmp_path):
    """Two concepts: red has three shades of which two are shown, blue two of which one is."""
    shades = {
        "red/a.png": (255, 0, 0), "red/b.png": (204, 0, 0), "red/c.png": (51, 0, 0),
        "blue/a.png": (0, 0, 255), "blue/b.png": (0, 0, 102),
    }  # fmt: skip
    return tmp_path, {name: save(tmp_path / name, colour) for name, colour in shades.items()}


def test_a_picture_is_its_content_whoever_saw_it_and_whatever_it_is_called(pictures):
    folder, ids = pictures
    (folder / "copy").mkdir()
    (folder / "copy" / "z.png").write_bytes((folder / "red/a.png").read_bytes())
    shown = [ids["red/a.png"], ids["blue/a.png"], ids["red/a.png"], ids["red/b.png"]]
    made = targets(folder).make(trials_of(shown, subjects=("x", "y")))
    assert sorted(made.ids) == sorted(set(shown))
    assert [made.ids[row] for row in made.rows] == shown * 2
    found = {made.ids[row]: made.values[row].tolist() for row in made.rows}
    assert found[ids["red/a.png"]] == [1, 0, 0]
    assert found[ids["red/b.png"]] == pytest.approx([0.8, 0, 0])


def test_centres_are_means_of_all_pictures_of_a_concept_or_of_those_not_shown(pictures):
    folder, ids = pictures
    trials = trials_of([ids["red/a.png"], ids["blue/a.png"], ids["red/b.png"]])
    every = targets(folder, gallery="concept_centre").make(trials)
    assert every.ids.tolist() == ["blue", "red"]
    assert every.rows.tolist() == [1, 0, 1]
    np.testing.assert_allclose(every.values, [[0, 0, 0.7], [2 / 3, 0, 0]], atol=1e-6)
    others = targets(folder, gallery="concept_centre", centre="others").make(trials)
    np.testing.assert_allclose(others.values, [[0, 0, 0.4], [0.2, 0, 0]], atol=1e-6)
    rest = trials_of([i for name, i in ids.items() if "red" in name])
    with pytest.raises(ValueError, match="1 concepts have no picture but those that were shown"):
        targets(folder, gallery="concept_centre", centre="others").make(rest)


def test_a_table_may_name_the_concepts(pictures):
    folder, ids = pictures
    table = folder / "concepts.tsv"
    table.write_text("file\tconcept\nred/a.png\twarm\nblue/a.png\tcold\n")
    source = targets(folder, gallery="concept_centre", concepts=str(table))
    made = source.make(trials_of([ids["red/a.png"], ids["blue/a.png"]]))
    assert made.ids.tolist() == ["cold", "warm"]
    with pytest.raises(ValueError, match=r"has no concept for the picture .*red/b.png"):
        source.make(trials_of([ids["red/b.png"], ids["blue/a.png"]]))
    table.write_text("name\tconcept\n")
    with pytest.raises(ValueError, match="needs columns file and concept, has name, concept"):
        source.make(trials_of([ids["red/a.png"], ids["blue/a.png"]]))


def test_features_are_computed_once_and_again_for_other_weights(pictures, tmp_path):
    folder, ids = pictures
    trials = trials_of([ids["red/a.png"], ids["blue/a.png"]])
    cache = {"cache": str(tmp_path / "kept")}
    first, again, other = (MeanColour() for _ in range(3))
    other.register_buffer("other", torch.ones(1))
    made = targets(folder, network=first, **cache).make(trials)
    kept = targets(folder, network=again, **cache).make(trials)
    assert (first.calls, again.calls) == (2, 0)
    np.testing.assert_array_equal(made.values, kept.values)
    # One more picture: only that one is computed.
    more = trials_of([ids["red/a.png"], ids["blue/a.png"], ids["blue/b.png"]])
    targets(folder, network=again, **cache).make(more)
    assert again.calls == 1
    targets(folder, network=other, **cache).make(trials)
    assert other.calls == 2


def test_what_cannot_be_is_said(pictures):
    folder, ids = pictures
    both = trials_of([ids["red/a.png"], ids["blue/a.png"]])
    with pytest.raises(FileNotFoundError, match=r"1 of 2 trials show no picture of the 5 in"):
        targets(folder).make(trials_of([ids["red/a.png"], "0123456789abcdef"]))
    with pytest.raises(FileNotFoundError, match="no picture"):
        targets(folder / "nowhere").make(both)
    with pytest.raises(ValueError, match="has no layers colors; it has colour"):
        targets(folder, layer="colors").make(both)
    with pytest.raises(ValueError, match="gallery must be exact_image or concept_centre"):
        targets(folder, gallery="concepts")
    with pytest.raises(ValueError, match="for gallery 'concept_centre' only"):
        targets(folder, concepts="a.tsv")


def test_concepts_and_near_copies_on_two_sides_are_found(tmp_path):
    generator = np.random.default_rng(0)
    ids = []
    for k in range(12):
        image = generator.integers(0, 240, (16, 16, 3)).astype(np.uint8)
        for name, more in (("one", 0), ("twin", 9)):
            path = tmp_path / f"concept{k}" / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            imsave(path, image + np.uint8(more))
            ids.append(content_id(path.read_bytes()))
    pairs = [f"pair{k // 2}" for k in range(24)]
    config = {"folds": 3, "validation": 0.0}
    by_image = TrialSplitConfig(by="stimulus", **config)
    by_group = TrialSplitConfig(by="group", **config)
    trials = trials_of(ids, groups=pairs)
    source = targets(tmp_path, twins=0.95)
    apart, together = split_trials(trials, by_image), split_trials(trials, by_group)
    made = source.make(trials)
    assert source.audit(trials, made, together) == []
    found = source.audit(trials, made, apart)
    assert found
    assert "near copy on another side" in found[0]
    assert targets(tmp_path).audit(trials, made, apart) == []
    concepts = targets(tmp_path, gallery="concept_centre")
    centres = concepts.make(trials)
    assert concepts.audit(trials, centres, together) == []
    assert concepts.audit(trials, centres, apart)
