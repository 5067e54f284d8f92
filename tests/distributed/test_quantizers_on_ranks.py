"""Codebooks on two processes that train together: the same everywhere, under every engine."""

import importlib.util

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(300)]

needs_deepspeed = [
    pytest.mark.deepspeed,
    pytest.mark.skipif(
        importlib.util.find_spec("deepspeed") is None,
        reason="DeepSpeed is not installed: pip install -e .[deepspeed]",
    ),
]


def engine(strategy, precision, stage):
    marks = needs_deepspeed if stage else []
    return pytest.param(strategy, precision, stage, marks=marks, id=f"{strategy}-{precision}")


@pytest.mark.parametrize(
    ("strategy", "precision", "stage"),
    [
        engine("ddp", "32-true", None),
        engine("ddp", "bf16-mixed", None),
        engine("zero_1", "32-true", 1),
        engine("zero_2", "bf16-true", 2),
        engine("zero_3", "32-true", 3),
    ],
)
def test_ranks_hold_the_same_codes_in_float32(ranks, strategy, precision, stage):
    """Batches differ in content and size between ranks, and codes are replaced all the time."""
    first, second = ranks("quantizer_worker.py", strategy, precision)
    for rank in (first, second):
        assert (rank["world_size"], rank["stage"]) == (2, stage)
        assert rank["initialised"] == [True] * 4
        assert rank["finite"] == [True] * 4
        assert rank["dtypes"] == ["torch.float32"]
        assert len(rank["losses"]) == 12
    assert first["losses"] != second["losses"]
    assert first["buffers"] == second["buffers"]


def test_two_ranks_move_codes_as_one_does(ranks):
    """The averages of two halves of a batch are those of the whole."""
    whole, (half, other) = (
        ranks("averages_worker.py", n=1)[0],
        ranks("averages_worker.py", n=2),
    )
    assert half == other
    assert half["codebooks"] == pytest.approx(whole["codebooks"], abs=1e-5)
    assert half["axes"] == pytest.approx(whole["axes"], abs=1e-4)
    assert half["drawn"] == 5
    assert half["from_each"] == [2, 3]
