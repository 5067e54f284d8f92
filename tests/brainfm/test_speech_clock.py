import pytest

from brainfm.speech_clock import check_clocks
from brainfm.speech_events import Word


def words(offset, *, rate=1.0, sound="a", step=1.0, n=20):
    return [
        Word(text="w", onset=offset + rate * step * k, sound=sound, at=step * k, duration=0.3,
             sentence="s")
        for k in range(n)
    ]  # fmt: skip


def test_every_playing_of_a_sound_has_its_own_offset():
    found = check_clocks([*words(100.0), *words(3.0, rate=1.0001), *words(300.0, n=2)], "r")
    assert [fit.offset for fit in found] == pytest.approx([3.0, 100.0])
    assert [fit.drift for fit in found] == pytest.approx([100.0, 0.0], abs=1e-6)
    assert [fit.used for fit in found] == [20, 20]


def test_a_sound_that_is_not_the_one_of_the_table_is_refused():
    with pytest.raises(ValueError, match="recording r, from 5 s on, sound a: the clocks differ"):
        check_clocks(words(5.0, rate=1.01), "r")
    other = [*words(5.0, n=5), *words(17.0, sound="b"), *words(70.0, step=0.7)]
    jumps = other[:2] + [
        Word(text="w", onset=w.onset + 2.0, sound="a", at=w.at, duration=0.3, sentence="s")
        for w in other[2:5]
    ]
    assert len(check_clocks(other, "r")) == 3
    with pytest.raises(ValueError, match="do not belong together"):
        check_clocks(jumps, "r")
