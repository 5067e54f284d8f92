"""Few units on all sides, by another throw of the same dice."""

import dataclasses

from brainfm.recording_info import RecordingInfo
from brainfm.split_salt import FEW, empty_sides, split_with_all_sides
from brainfm.splits import SplitConfig, make_split


def people(n, dataset="d"):
    return [
        RecordingInfo(
            id=f"{dataset}-s{k}-r{r}",
            dataset=dataset,
            subject=f"s{k}",
            sfreq=256.0,
            digest=f"{dataset}{k}{r}",
            signal_digest=f"{dataset}{k}{r}",
        )
        for k in range(n)
        for r in range(2)
    ]


def test_three_people_are_on_three_sides():
    infos = people(3)
    split = split_with_all_sides(infos, SplitConfig())
    assert not empty_sides(split, infos)
    assert split == make_split(infos, split.config)  # nothing but a salt
    assert split == split_with_all_sides(infos[::-1], SplitConfig())
    assert split.config == dataclasses.replace(SplitConfig(), salt=split.config.salt)


def test_a_division_that_serves_stays():
    infos = people(80)
    first = make_split(infos, SplitConfig())
    assert not empty_sides(first, infos)
    assert split_with_all_sides(infos, SplitConfig()) == first


def test_what_cannot_be_filled_stays_empty():
    two, many = people(2), people(FEW + 1)
    assert empty_sides(split_with_all_sides(two, SplitConfig()), two) == ["test"]
    for salt in map(str, range(30)):  # one of twenty is not in training by the first throw
        alone = split_with_all_sides(people(1), SplitConfig(salt=salt))
        assert empty_sides(alone, two) == ["validation", "test"]
    rare = SplitConfig(fractions={"train": 1 - 1e-9, "test": 1e-9})
    assert empty_sides(split_with_all_sides(many, rare), many) == ["test"]
    learn = SplitConfig(dataset_fractions={"d": {"train": 1.0}})
    assert split_with_all_sides(two, learn).config == learn
    assert empty_sides(make_split(two, learn), two) == []


def test_people_with_the_same_samples_are_one():
    same = [dataclasses.replace(info, signal_digest="same") for info in people(9)]
    split = split_with_all_sides(same, SplitConfig())
    assert empty_sides(split, same) == ["validation", "test"]
