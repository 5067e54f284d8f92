"""Copies end up in one cluster, different pictures do not, and a leak is found."""

import numpy as np
import pytest
import torch

from brainfm.near_duplicates import cluster_groups, clusters, on_two_sides, thumbnails


def pictures():
    g = torch.Generator().manual_seed(0)
    coarse = torch.rand(5, 3, 6, 6, generator=g)
    return torch.nn.functional.interpolate(coarse, (48, 48), mode="bilinear").clamp(0, 1)


def test_copies_that_are_brighter_noisier_or_cropped_are_one_cluster():
    images = pictures()
    noise = 0.02 * torch.randn(5, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    crop = torch.nn.functional.interpolate(images[:, :, 1:-1, 1:-1], (48, 48))
    every = torch.cat([images, images * 0.8 + 0.1, images + noise, crop])
    found = clusters(thumbnails(every))
    assert found.tolist() == list(range(5)) * 4


def test_links_are_passed_on_and_chains_stay_together():
    angles = np.deg2rad([0, 10, 20, 30, 90])
    features = torch.tensor(np.stack([np.cos(angles), np.sin(angles)], 1))
    # Neighbours at 10 degrees have a cosine of .985, those at 20 of .940.
    assert clusters(features, threshold=0.95).tolist() == [0, 0, 0, 0, 1]
    assert clusters(features, threshold=0.99).tolist() == [0, 1, 2, 3, 4]


def test_the_name_of_a_cluster_is_that_of_its_members():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.001]])
    groups = cluster_groups(["a", "b", "c"], features)
    assert groups["a"] == groups["c"] != groups["b"]
    again = cluster_groups(["c", "a", "b"], features[[2, 0, 1]])
    assert again == groups


def test_a_twin_on_the_other_side_is_found():
    groups = {"a": "1", "b": "2", "c": "1", "d": "3"}
    assert on_two_sides(groups, {"train": ["a", "b"], "test": ["c", "d"]}) == [
        ("train", "a", "test", "c")
    ]
    assert on_two_sides(groups, {"train": ["a", "c"], "test": ["b", "d"]}) == []


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="different"):
        cluster_groups(["a", "a"], torch.eye(2))
    with pytest.raises(ValueError, match="threshold"):
        clusters(torch.eye(2), threshold=2)
    with pytest.raises(ValueError, match="finite table"):
        clusters(torch.full((2, 2), torch.nan))
