"""What the signs of life of all ranks mean: who is dead, has failed or hangs."""

import dataclasses

import pytest

from brainfm.rank_beats import Beat, Judge, RankWatchConfig

CFG = RankWatchConfig(timeout_s=6.0, stall_s=10.0)  # a look a second


def beats(count, *, done=0, dead=(), n=3):
    return [Beat(count=0 if r in dead else count, done=done, where=f"host{r}") for r in range(n)]


def test_a_beat_survives_its_text():
    beat = Beat(count=3, done=7, doing="validation", failed="ValueError: x", where="a, process 1")
    assert Beat.from_text(beat.to_text()) == beat


def test_ranks_that_give_signs_are_left_alone():
    judge = Judge(CFG)
    assert all(judge.look(beats(i, done=i)) is None for i in range(50))


def test_a_silent_rank_is_named_after_the_timeout_and_not_before():
    judge = Judge(CFG)
    verdicts = [judge.look(beats(i, done=i, dead=(1,))) for i in range(1, 9)]
    assert verdicts[:6] == [None] * 6
    assert verdicts[6].startswith("rank 1 (host1) has given no sign of life for 6 s")


def test_a_rank_that_left_in_order_may_be_silent():
    judge = Judge(CFG)
    for i in range(30):
        signs = beats(i, done=i)
        signs[2] = dataclasses.replace(signs[2], count=5, left=True)
        assert judge.look(signs) is None


def test_of_ranks_that_wait_for_each_other_the_last_is_named():
    judge = Judge(CFG)
    signs = [
        Beat(done=8, where="a"),
        Beat(done=7, doing="validation", where="b"),
        Beat(done=8, where="c"),
    ]
    verdict = None
    for i in range(20):
        verdict = judge.look([dataclasses.replace(s, count=i) for s in signs])
        if verdict:
            break
    assert i == 10
    assert verdict == (
        "no rank has gone on for 10 s; the furthest behind is rank 1 (b), in 'validation'"
    )


def test_a_failure_is_told_at_once():
    signs = beats(1)
    signs[2] = dataclasses.replace(signs[2], failed="ValueError: no such file")
    assert Judge(CFG).look(signs) == "rank 2 (host2) failed: ValueError: no such file"


@pytest.mark.parametrize("field", ["timeout_s", "stall_s"])
def test_limits_are_positive(field):
    with pytest.raises(ValueError, match=f"{field} must be positive, got 0"):
        RankWatchConfig(**{field: 0})
