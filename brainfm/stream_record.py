"""What a stream said, kept on disk in pieces, for as long as it runs.

A folder holds ``about.json`` and numbered ``.npz`` pieces, each written whole or not at all: a
stream that is killed loses what it said since its last piece, and memory holds no more than one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import atomic_path, write_json_atomic
from brainfm.stream_messages import Decision, StreamEvent, StreamOutput

ABOUT = "about.json"
MAX_OUTPUTS = 5000
"""Outputs of a piece, whatever its length in time."""


class StreamPiece(NamedTuple):
    """Some of what a stream said.

    ``codes`` (P, N, Q) with ``times`` (P,) s and ``segment`` (P,) of each frame; ``features``
    (P', N, D) with ``feature_times`` (P',), none of either where they were not kept; ``decisions``
    and ``events`` in the order in which they were said.
    """

    codes: NDArray[np.uint16]
    times: NDArray[np.float64]
    segment: NDArray[np.int64]
    features: NDArray[np.float32]
    feature_times: NDArray[np.float64]
    decisions: tuple[Decision, ...]
    events: tuple[StreamEvent, ...]


class StreamRecord:
    """Writes outputs of a stream into a folder.

    Parameters
    ----------
    folder
        New or empty.
    piece_s
        Seconds of signal in a piece: what is lost if the process is killed.
    features
        Keep features too, not only codes.
    about
        What is said of the stream, as JSON values.

    Raises
    ------
    ValueError
        The folder holds something.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        piece_s: float = 10.0,
        features: bool = False,
        about: dict[str, Any] | None = None,
    ) -> None:
        if not piece_s > 0:
            raise ValueError(f"a piece must be longer than 0 s, got {piece_s:g}")
        self.folder, self.piece_s, self.features = Path(folder), piece_s, features
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(f"{folder} is not an empty folder; name another one for this stream")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(self.folder / ABOUT, about or {})
        self.n_pieces = 0
        self._held: list[StreamOutput] = []
        self._frames = 0

    def add(self, output: StreamOutput, *, seconds: float) -> None:
        """Take an output, ``seconds`` being the signal that one of its frames stands for."""
        self._held.append(output if self.features else output._replace(features=None))
        self._frames += len(output.codes)
        if self._frames * seconds >= self.piece_s or len(self._held) >= MAX_OUTPUTS:
            self.flush()

    def flush(self) -> None:
        """Write what is held as a piece."""
        if not self._held:
            return
        held, self._held, self._frames = self._held, [], 0
        features = [output.features for output in held if output.features is not None]
        decisions = [decision for output in held for decision in output.decisions]
        events = [event for output in held for event in output.events]
        arrays: dict[str, NDArray[Any]] = {
            "codes": np.concatenate([output.codes for output in held]),
            "times": np.concatenate([output.times for output in held]),
            "segment": np.repeat([o.segment for o in held], [len(o.codes) for o in held]),
            "decision_times": np.array([decision.time for decision in decisions], np.float64),
            "decisions": np.array([json.dumps(d.value) for d in decisions], np.str_),
            "event_times": np.array([event.time for event in events], np.float64),
            "event_kinds": np.array([event.kind for event in events], np.str_),
            "event_texts": np.array([event.text for event in events], np.str_),
        }
        if features:
            arrays["features"] = np.concatenate([found.values for found in features])
            arrays["feature_times"] = np.concatenate([found.times for found in features])
        with (
            atomic_path(self.folder / f"{self.n_pieces:08d}.npz") as temporary,
            temporary.open("wb") as file,
        ):
            np.savez(file, **arrays)  # type: ignore[arg-type]
        self.n_pieces += 1


def read_pieces(folder: str | Path) -> Iterator[StreamPiece]:
    """Yield the pieces of a record in order; one at a time is in memory.

    Raises
    ------
    FileNotFoundError, ValueError
        No record, or a piece of it is missing.
    """
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise FileNotFoundError(f"{folder} is no record of a stream (it has no {ABOUT})")
    for number, path in enumerate(sorted(folder.glob("[0-9]*.npz"))):
        if path.stem != f"{number:08d}":
            raise ValueError(f"{folder}: piece {number:08d}.npz is missing")
        with np.load(path, allow_pickle=False) as kept:
            decided = zip(kept["decision_times"], kept["decisions"], strict=True)
            names = "event_times", "event_kinds", "event_texts"
            happened = zip(*(kept[name].tolist() for name in names), strict=True)
            yield StreamPiece(
                codes=kept["codes"],
                times=kept["times"],
                segment=kept["segment"],
                features=kept["features"] if "features" in kept else np.zeros((0, 0, 0), "f4"),
                feature_times=kept["feature_times"] if "features" in kept else np.zeros(0),
                decisions=tuple(Decision(float(t), json.loads(str(v))) for t, v in decided),
                events=tuple(StreamEvent(*event) for event in happened),
            )


def read_record(folder: str | Path) -> StreamPiece:
    """Return all pieces of a record as one; raises as :func:`read_pieces` does."""
    pieces = list(read_pieces(folder))
    if not pieces:
        raise ValueError(f"{folder} holds no piece: the stream ended before its first")
    with_features = [piece for piece in pieces if len(piece.features)] or pieces[:1]
    return StreamPiece(
        codes=np.concatenate([piece.codes for piece in pieces]),
        times=np.concatenate([piece.times for piece in pieces]),
        segment=np.concatenate([piece.segment for piece in pieces]),
        features=np.concatenate([piece.features for piece in with_features]),
        feature_times=np.concatenate([piece.feature_times for piece in with_features]),
        decisions=tuple(decision for piece in pieces for decision in piece.decisions),
        events=tuple(event for piece in pieces for event in piece.events),
    )
