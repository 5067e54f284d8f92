"""What of a story may not be divided: sentences, merged until they are long enough.

A split by these units keeps the same sentence on one side, for every subject, sound and data set
(Defossez et al. 2023, section "Dataset splits").
"""

from collections.abc import Sequence
from dataclasses import dataclass

from brainfm.trial_events import content_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """One sentence of a sound.

    Parameters
    ----------
    sound
        Content id of the sound.
    text
        What is said.
    begin, end
        Seconds from the begin of the sound.
    """

    sound: str
    text: str
    begin: float
    end: float

    def __post_init__(self) -> None:
        if not self.begin < self.end:
            raise ValueError(
                f"sentence {self.text[:40]!r} of sound {self.sound} must end after its begin, got "
                f"{self.begin:g} to {self.end:g} s"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Consecutive sentences of one sound.

    Parameters
    ----------
    begin, end
        Seconds from the begin of the sound; the pause after a block belongs to it.
    group
        Content id of the text that may not be divided; blocks that share a sentence have one.
    """

    begin: float
    end: float
    group: str


def merge_sentences(sentences: Sequence[Sentence], *, least_s: float = 6.0) -> list[Block]:
    """Return the block of every sentence.

    Blocks are made sound by sound, in the order of time; the last one of a sound may be shorter.
    Blocks in which the same text occurs, be it in another sound, are one unit: a decoder that is
    trained on one must not be judged by the other. A phrase that is repeated all over a story thus
    joins much of it; then ask for blocks of 0 s, which are single sentences.

    Parameters
    ----------
    sentences
        All there are, of every sound that any subject heard.
    least_s
        Length in s that a block reaches if it can.

    Raises
    ------
    ValueError
        Sentences of one sound overlap.
    """
    if not 0 <= least_s < float("inf"):
        raise ValueError(f"least_s must not be negative (s), got {least_s}")
    order = sorted(range(len(sentences)), key=lambda k: (sentences[k].sound, sentences[k].begin))
    runs = _runs(sentences, order, least_s)
    names = [[content_id(sentences[k].text) for k in run] for run in runs]
    first = _joined(names)
    texts: dict[int, set[str]] = {}
    for number in range(len(runs)):
        texts.setdefault(first[number], set()).update(names[number])
    groups = {number: _group(found) for number, found in texts.items()}
    blocks: list[Block | None] = [None] * len(sentences)
    for number, run in enumerate(runs):
        following = runs[number + 1] if number + 1 < len(runs) else []
        end = max(sentences[k].end for k in run)
        if following and sentences[following[0]].sound == sentences[run[0]].sound:
            end = sentences[following[0]].begin
        block = Block(begin=sentences[run[0]].begin, end=end, group=groups[first[number]])
        for k in run:
            blocks[k] = block
    assert None not in blocks
    return [block for block in blocks if block is not None]


def _runs(sentences: Sequence[Sentence], order: Sequence[int], least_s: float) -> list[list[int]]:
    """Return places of sentences that make a block, block by block."""
    runs: list[list[int]] = []
    for k in order:
        one = sentences[k]
        last = sentences[runs[-1][-1]] if runs else None
        if last is not None and last.sound == one.sound:
            if one.begin < last.end - 1e-6:
                raise ValueError(
                    f"sound {one.sound}: sentence {one.text[:40]!r} begins at {one.begin:g} s, "
                    f"before {last.text[:40]!r} ends at {last.end:g} s"
                )
            if last.end - sentences[runs[-1][0]].begin < least_s:
                runs[-1].append(k)
                continue
        runs.append([k])
    return runs


def _joined(names: Sequence[Sequence[str]]) -> list[int]:
    """Return for every block the first one that it shares a sentence with, over others too."""
    parent = list(range(len(names)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    seen: dict[str, int] = {}
    for number, texts in enumerate(names):
        for text in texts:
            one, other = sorted((root(number), root(seen.setdefault(text, number))))
            parent[other] = one
    return [root(k) for k in range(len(names))]


def _group(texts: set[str]) -> str:
    return next(iter(texts)) if len(texts) == 1 else content_id("\n".join(sorted(texts)))
