"""Nearest centres, clusters known beforehand, and what starting at the published size costs."""

import os
import subprocess
import sys

import pytest
import torch

from brainfm import kmeans as module
from brainfm.kmeans import cluster_sums, draw, kmeans, nearest


def vectors(n, width=6, seed=0):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_the_nearest_centre_is_the_one_at_the_smallest_distance():
    x, centres = vectors(500), vectors(40, seed=1)
    assert torch.equal(nearest(x, centres), torch.cdist(x, centres).argmin(-1))


def test_working_in_pieces_changes_nothing(monkeypatch):
    x, centres = vectors(50), vectors(8, seed=1)
    whole = nearest(x, centres)
    monkeypatch.setattr(module, "PIECE", 7)
    assert torch.equal(nearest(x, centres), whole)


def test_sums_and_counts_by_hand():
    x = torch.tensor([[1.0, 0.0], [2.0, 1.0], [5.0, 5.0]])
    counts, sums = cluster_sums(x, torch.tensor([2, 2, 0]), 3, n_ranks=1)
    assert counts.tolist() == [1, 0, 2]
    assert sums.tolist() == [[5, 5], [0, 0], [3, 1]]


def test_far_apart_groups_are_found():
    """Pairs around (0, 0), (10, 0), (0, 10): the centres are their means, two vectors each."""
    x = torch.tensor([[-1.0, 0], [1, 0], [9, 0], [11, 0], [0, 9], [0, 11]])
    found = set()
    for seed in range(20):
        torch.manual_seed(seed)
        centres, counts = kmeans(x, 3, iterations=10)
        if counts.tolist() == [2, 2, 2]:
            found.add(tuple(sorted(map(tuple, centres.tolist()))))
    assert found == {((0.0, 0.0), (0.0, 10.0), (10.0, 0.0))}


def test_rounds_lower_the_error():
    x = vectors(2000)
    errors = []
    for rounds in (1, 3, 10):
        torch.manual_seed(0)
        centres, counts = kmeans(x, 32, iterations=rounds)
        assert counts.sum() == 2000
        errors.append((x - centres[nearest(x, centres)]).square().sum().item())
    assert errors[0] > errors[1] > errors[2]


def test_fewer_vectors_than_centres_all_become_centres():
    x = vectors(3)
    centres, _ = kmeans(x, 8)
    assert len(centres) == 8
    assert torch.cdist(x, centres).amin(1).max() < 1e-6


def test_drawn_vectors_are_different_ones_of_the_batch():
    x = torch.arange(10.0)[:, None]
    assert len(set(draw(x, 7, n_ranks=1).flatten().tolist())) == 7
    assert sorted(draw(x, 20, n_ranks=1).flatten().tolist()) == list(range(10))


PUBLISHED = """
import re, time, torch
from pathlib import Path
from brainfm.quantizers import KINDS, QuantizerConfig, build_quantizer

def megabytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

x = torch.nn.functional.normalize(torch.randn(100_000, 256), dim=-1)
for kind in KINDS:
    quantizer = build_quantizer(QuantizerConfig(kind=kind), 256)
    quantizer.initialise(x[:1000])  # what the first call of anything costs
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = megabytes("VmRSS")
    began = time.process_time()
    quantizer.initialise(x)
    print(kind, time.process_time() - began, megabytes("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_starting_from_100000_vectors_takes_2_s_of_two_cores_and_300_megabytes():
    """Counted in processor time of one thread, which other programs do not change: 4 s."""
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHED],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [kind for kind, *_ in rows] == ["rvq", "fsq", "quantile"]
    for kind, cpu_seconds, megabytes in rows:
        assert float(cpu_seconds) < 4, kind
        assert float(megabytes) < 300, kind
