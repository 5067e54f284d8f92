"""The words of the progress bar."""

import pytest

from brainfm import preparation_progress
from brainfm.preparation import Outcome
from brainfm.preparation_progress import Progress, format_time
from brainfm.sources import Source


def test_speed_and_time_left_come_from_what_was_worked_on(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(preparation_progress.time, "monotonic", lambda: now[0])
    sources = []
    for name, size in (("a", 100), ("b", 300), ("c", 200), ("d", 400)):
        (tmp_path / name).write_bytes(bytes(size))
        sources.append(Source(path=tmp_path / name, id=name, dataset="x"))
    progress = Progress(sources)
    assert progress.line() == "0/4 recordings"
    now[0] += 30.0
    progress.add(Outcome(id="a", path="a", status="kept", duration=3600.0))
    progress.add(Outcome(id="b", path="b", status="prepared", duration=7200.0))
    # 2 h of signal in half a minute; 300 bytes took 30 s, 600 are left
    assert progress.line() == "2/4 recordings, 4 h of signal per minute, 1 min 00 s left"
    progress.add(Outcome(id="c", path="c", status="failed", reason="broken"))
    assert progress.line().startswith("3/4 recordings, 1 failed, 4 h of signal per minute, 40 s")


@pytest.mark.parametrize(
    ("seconds", "words"), [(5.2, "5 s"), (65, "1 min 05 s"), (7500, "2 h 05 min")]
)
def test_times_in_words(seconds, words):
    assert format_time(seconds) == words
