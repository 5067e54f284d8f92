"""benchmarks/few_shot_encoding.py: tables, and a family on a few steps."""

import importlib
from types import ModuleType

import pytest


@pytest.fixture
def bench(root, monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return importlib.import_module("few_shot_encoding")


def test_the_table_has_a_row_per_method_and_a_column_per_number_of_pairs(bench):
    lines = bench.table({"ridge": {3: [0.25], 20: [0.5]}, "prior": {20: [0.1, 0.2]}}).splitlines()
    assert lines[0] == "| | 3 pairs | 20 pairs |"
    assert lines[2:] == ["| ridge | 0.250 | 0.500 |", "| prior |  | 0.150 |"]
    # Three values are enough for an interval.
    assert bench.cell([0.1, 0.2, 0.3]).startswith("0.200 [")


@pytest.mark.slow
def test_a_family_has_all_methods_and_nulls(bench, monkeypatch):
    monkeypatch.setattr(bench, "SHOTS", (5, 40))
    monkeypatch.setattr(bench, "N_NEW", 200)
    found = bench.family(0, steps=30)
    methods = ("in context", "prior", "ridge")
    assert set(found) == {m + label for m in methods for label in ("", ", noise", ", unrelated")}
    assert found["prior"][5] > found["ridge"][5]
    assert abs(found["in context, noise"][40]) < 0.08
