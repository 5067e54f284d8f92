"""Check that the words of a sound run as fast in a recording's table as in the sound itself."""

from collections.abc import Iterator, Sequence

from brainfm.alignment import Alignment, AlignmentConfig, align_pairs
from brainfm.speech_events import Word

TABLE = AlignmentConfig(tolerance=0.05, least_share=0.9)
"""Triggers are some samples off; a table with another alignment is off by far more."""


def check_clocks(
    words: Sequence[Word], name: str, config: AlignmentConfig = TABLE
) -> list[Alignment]:
    """Return how each playing of a sound lies in a recording.

    Parameters
    ----------
    words
        Heard in one recording. A sound that is heard again begins again; what has fewer words than
        a fit needs is passed over.
    name
        Of the recording, for messages.
    config
        What is a good fit.

    Raises
    ------
    ValueError
        The times in the recording and in a sound are on no line, or their clocks differ by more
        than clocks do; the message names recording and sound.
    """
    found = []
    for played in playings(words):
        times = [word.at for word in played]
        if len(set(times)) < config.least_pairs:
            continue
        try:
            found.append(align_pairs(times, [word.onset for word in played], config))
        except ValueError as error:
            raise ValueError(
                f"recording {name}, from {played[0].onset:g} s on, sound {played[0].sound}: {error}"
            ) from error
    return found


def playings(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield the words of each time that a sound is played, by onset."""
    now: list[Word] = []
    for word in sorted(words, key=lambda word: word.onset):
        if now and (word.sound != now[-1].sound or word.at < now[-1].at):
            yield now
            now = []
        now.append(word)
    if now:
        yield now
