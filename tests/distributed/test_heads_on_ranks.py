"""A head's loss and gradient are those of one process, however the batch is divided."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(300)]

COMPARED = ("clip_one_sided", "clip", "siglip", "dsiglip", "mse", "rivals", "correlation")
"""Heads whose loss is that of all ranks."""


def test_loss_and_gradient_do_not_depend_on_how_the_batch_is_divided(ranks) -> None:
    alone = ranks("heads_worker.py", "8", n=1)[0]["8"]
    divided = ranks("heads_worker.py", "4,4 6,2 8,0", n=2)
    for way in ("4,4", "6,2", "8,0"):
        for name, expected in alone.items():
            for found in (rank[way][name] for rank in divided):
                assert found["mean"] == pytest.approx(expected["mean"], rel=1e-4), (way, name)
                if name in COMPARED:
                    assert found["own"] == pytest.approx(expected["own"], rel=1e-4), (way, name)
                for weight, gradient in expected["gradient"].items():
                    assert found["gradient"][weight] == pytest.approx(
                        gradient, rel=1e-3, abs=1e-5
                    ), (way, name, weight)
