"""Labels for the blocks of a stream: events of a played file, or a stream of markers (LSL)."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from brainfm.stream_messages import Block, Marker
from brainfm.trial_events import Event

AT_ONCE = 256
"""Markers that are asked for at once."""


def with_events(blocks: Iterable[Block], events: Sequence[Event], sfreq: float) -> Iterator[Block]:
    """Yield blocks with the events that begin before each ends, as markers.

    Parameters
    ----------
    blocks
        With times.
    events
        Onsets in seconds on the clock of the blocks.
    sfreq
        Samples per second of the blocks.
    """
    left = sorted((Marker(event.onset, event.name) for event in events), reverse=True)
    for block in blocks:
        if block.time is None:
            raise ValueError("events need blocks with times")
        end = block.time + block.values.shape[1] / sfreq
        due = []
        while left and left[-1].time < end:
            due.append(left.pop())
        yield block._replace(markers=(*block.markers, *due))


def with_markers(
    blocks: Iterable[Block], pull: Callable[[], tuple[Marker, ...]]
) -> Iterator[Block]:
    """Yield blocks with the markers that have come until each."""
    for block in blocks:
        yield block._replace(markers=(*block.markers, *pull()))


class LslMarkers:
    """A stream of texts of the Lab Streaming Layer, one for each event.

    Parameters
    ----------
    name
        Of the stream.
    give_up_s
        Time that looking for it may take, seconds.

    Raises
    ------
    ValueError
        No such stream, or one that does not send texts.
    """

    def __init__(self, name: str, give_up_s: float = 60.0) -> None:
        from mne_lsl.lsl import StreamInlet, resolve_streams

        until = time.monotonic() + give_up_s
        found: list[Any] = []
        while not found and time.monotonic() < until:
            found = resolve_streams(min(1.0, give_up_s), name=name)
        if not found:
            raise ValueError(f"no LSL stream of markers named {name!r} within {give_up_s:g} s")
        if found[0].dtype != "string":
            raise ValueError(f"LSL stream {name!r} sends {found[0].dtype}, markers are texts")
        # The library itself looks for the sender again when it is gone.
        self._inlet = StreamInlet(found[0], recover=True, processing_flags=["clocksync"])
        self._inlet.open_stream(timeout=10)

    def pull(self) -> tuple[Marker, ...]:
        """Return what has come since the last call, at once."""
        texts, stamps = self._inlet.pull_chunk(timeout=0.0, max_samples=AT_ONCE)
        return tuple(
            Marker(float(stamp), str(text[0])) for text, stamp in zip(texts, stamps, strict=True)
        )
