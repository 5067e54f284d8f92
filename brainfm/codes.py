"""A corpus of codes: what the masked model trains on, computed once.

Layout of the folder: ``codes.json`` (written last: what the codes are and of which recordings),
``tokenizer/`` (the checkpoint that made them, so that codes never travel without their codebooks),
``recordings/ID.h5`` with ``codes`` (P, N, Q) uint16.

Shapes: P latent frames, N sources, Q quantizers, E stretches.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import atomic_path, write_json_atomic
from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.checkpoints import copy_checkpoint, read_config
from brainfm.code_times import n_frames
from brainfm.config_json import from_json
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.recording_info import RecordingInfo
from brainfm.sensors import SensorArray

CODES_FILE, TOKENIZER, RECORDINGS = "codes.json", "tokenizer", "recordings"
FORMAT = 1
BLOCK_SAMPLES = 2**14


@dataclass(frozen=True, kw_only=True)
class CorpusSignal:
    """One recording of a corpus as input of the tokenizer."""

    corpus: Corpus
    index: int

    @property
    def sensors(self) -> SensorArray:
        """Return the sensors."""
        return self.corpus.sensors(self.index)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Return which sensors may be used, (C,)."""
        return self.corpus.good(self.index)

    @property
    def n_times(self) -> int:
        """Return the number of samples."""
        return int(self.corpus.columns.n_times[self.index])

    def blocks(self) -> Iterator[NDArray[np.float16]]:
        """Yield the signal in order, (C, n) blocks."""
        for start in range(0, self.n_times, BLOCK_SAMPLES):
            n = min(BLOCK_SAMPLES, self.n_times - start)
            yield self.corpus.read_half(self.index, start, n).T


def recording_file(folder: str | Path, recording_id: str) -> Path:
    """Return where the codes of a recording are."""
    return Path(folder) / RECORDINGS / f"{recording_id}.h5"


def flagged_frames(corpus: Corpus, index: int, cfg: TokenizerConfig) -> NDArray[np.int64]:
    """Return the stretches (E, 2) of frames that lie in flagged seconds, first and last + 1."""
    total = n_frames(int(corpus.columns.n_times[index]), cfg)
    window, within = np.divmod(np.arange(total), cfg.frames_per_window)
    begin = (window * cfg.stride + within * cfg.hop) / cfg.sfreq
    bad = np.zeros(total, bool)
    for first, stop, _ in corpus.flagged(index).tolist():
        bad |= (begin < stop) & (begin + cfg.hop / cfg.sfreq > first)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]])))
    return edges.reshape(-1, 2).astype(np.int64)


def write_codes(encoder: Encoder, corpus: Corpus, index: int, folder: str | Path) -> bool:
    """Compute and store the codes of one recording, whole or not at all.

    Returns
    -------
    bool
        False if they were there already.
    """
    info = corpus.recordings[index]
    path = recording_file(folder, info.id)
    if path.exists():
        with h5py.File(path, "r") as file:
            if file.attrs["digest"] == info.digest:
                return False
    cfg = encoder.model.record.tokenizer
    values = np.concatenate(list(encoder.code_blocks(CorpusSignal(corpus=corpus, index=index))))
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("codes", data=values)
        file.create_dataset("flagged", data=flagged_frames(corpus, index, cfg))
        file.attrs["digest"] = info.digest
        file.attrs["info"] = info.to_json()
    return True


def begin_codes(folder: str | Path, checkpoint: str | Path) -> None:
    """Make the folder of a code corpus, or check that it was begun with the same tokenizer."""
    folder = Path(folder)
    digest = read_config(checkpoint)["codes_digest"]
    if (folder / TOKENIZER / "config.json").exists():
        if read_config(folder / TOKENIZER)["codes_digest"] != digest:
            raise ValueError(
                f"{folder} holds codes of another tokenizer; choose another --out, or delete it"
            )
    else:
        copy_checkpoint(checkpoint, folder / TOKENIZER)
    (folder / RECORDINGS).mkdir(parents=True, exist_ok=True)


def finish_codes(folder: str | Path, corpus: Corpus) -> None:
    """Write the list of recordings, which makes the code corpus whole."""
    recordings = []
    for info in corpus.recordings:
        with h5py.File(recording_file(folder, info.id), "r") as file:
            recordings.append(
                {
                    "info": json.loads(info.to_json()),
                    "n_frames": file["codes"].shape[0],
                    "offset": int(file["codes"].id.get_offset()),
                    "flagged": file["flagged"][()].tolist(),
                }
            )
    content = {
        "format": FORMAT,
        "corpus_digest": corpus.digest,
        "codes_digest": read_config(Path(folder) / TOKENIZER)["codes_digest"],
        "recordings": recordings,
    }
    write_json_atomic(Path(folder) / CODES_FILE, content)


class CodeCorpus:
    """Read access to the codes of a corpus.

    Parameters
    ----------
    path
        Folder that ``brainfm codes`` made.
    max_open
        Files kept mapped per process.

    Attributes
    ----------
    recordings
        :class:`~brainfm.recording_info.RecordingInfo` of each recording.
    n_frames
        (R,) latent frames of each.
    tokenizer
        Configuration of the tokenizer.
    """

    def __init__(self, path: str | Path, *, max_open: int = 128) -> None:
        self.path = Path(path)
        self.max_open = max_open
        file = self.path / CODES_FILE
        if not file.is_file():
            state = "is not finished" if (self.path / TOKENIZER).exists() else "is no code corpus"
            raise FileNotFoundError(f"{path} {state} (it has no {CODES_FILE}); run 'brainfm codes'")
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise ValueError(f"{file} has format {content.get('format')}, expected {FORMAT}")
        config = read_config(self.path / TOKENIZER)
        if config["codes_digest"] != content["codes_digest"]:
            raise ValueError(f"{path}: codes and tokenizer/ do not belong together; make them anew")
        self.tokenizer = from_json(TokenizerConfig, config["tokenizer"], str(path))
        self.digest = content["corpus_digest"]
        entries: list[dict[str, Any]] = content["recordings"]
        self.recordings = [RecordingInfo(**entry["info"]) for entry in entries]
        self.n_frames = np.array([entry["n_frames"] for entry in entries], np.int64)
        self._offsets = [int(entry["offset"]) for entry in entries]
        self._flagged = [np.array(entry["flagged"], np.int64).reshape(-1, 2) for entry in entries]
        self._maps: OrderedDict[int, NDArray[np.uint16]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.recordings)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "max_open": self.max_open}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"], max_open=state["max_open"])  # type: ignore[misc]

    @property
    def token_shape(self) -> tuple[int, int]:
        """Return (N, Q)."""
        return self.tokenizer.n_sources, self.tokenizer.quantizer.n_quantizers

    def flagged(self, i: int) -> NDArray[np.int64]:
        """Return the stretches (E, 2) of frames of bad quality, first and last + 1."""
        return self._flagged[i]

    def read(self, i: int, start: int = 0, n: int | None = None) -> NDArray[np.uint16]:
        """Return frames ``start`` to ``start + n`` of recording ``i``, (n, N, Q)."""
        total = int(self.n_frames[i])
        n = total - start if n is None else n
        if not 0 <= start <= start + n <= total:
            raise ValueError(
                f"frames {start}..{start + n} are outside recording {self.recordings[i].id} with "
                f"{total} frames"
            )
        return np.array(self._mapped(i)[start : start + n])

    def _mapped(self, i: int) -> NDArray[np.uint16]:
        if i in self._maps:
            self._maps.move_to_end(i)
            return self._maps[i]
        if len(self._maps) >= self.max_open:
            self._maps.popitem(last=False)
        path = recording_file(self.path, self.recordings[i].id)
        self._maps[i] = np.memmap(
            path,
            dtype="<u2",
            mode="r",
            offset=self._offsets[i],
            shape=(int(self.n_frames[i]), *self.token_shape),
        )
        return self._maps[i]
