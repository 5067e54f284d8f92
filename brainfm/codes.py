"""A corpus of codes: what the masked model trains on, computed once.

Layout of the folder: ``codes.json`` (written last: what the codes are and of which recordings),
``tokenizer/`` (the checkpoint that made them, so that codes never travel without their codebooks),
``recordings/ID.h5`` (:mod:`brainfm.code_file`).

Shapes: R recordings, P latent frames, N sources, Q quantizers, E stretches.
"""

import json
import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainfm.atomic import write_json_atomic
from brainfm.brain_tokenizer import TokenizerConfig
from brainfm.checkpoints import copy_checkpoint, read_config
from brainfm.code_file import (
    RECORDINGS,
    flagged_frames,
    is_stored,
    read_layout,
    recording_file,
    store_codes,
)
from brainfm.code_times import frame_times
from brainfm.config_json import from_json
from brainfm.corpus import Corpus
from brainfm.corpus_signal import CorpusSignal
from brainfm.encoder import Encoder
from brainfm.recording_info import RecordingInfo

CODES_FILE, TOKENIZER = "codes.json", "tokenizer"
FORMAT = 2


def write_codes(encoder: Encoder, corpus: Corpus, index: int, folder: str | Path) -> bool:
    """Compute and store the codes of one recording, whole or not at all.

    Returns
    -------
    bool
        False if they were there already.
    """
    info = corpus.recordings[index]
    if is_stored(folder, info):
        return False
    values = np.concatenate(list(encoder.code_blocks(CorpusSignal(corpus=corpus, index=index))))
    flagged = flagged_frames(corpus, index, encoder.model.record.tokenizer)
    store_codes(folder, info, values, flagged)
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
        # What a killed run left of another checkpoint would be taken for a part of this one.
        shutil.rmtree(folder / TOKENIZER, ignore_errors=True)
        copy_checkpoint(checkpoint, folder / TOKENIZER)
    (folder / RECORDINGS).mkdir(parents=True, exist_ok=True)


def reopen_codes(folder: str | Path, outdated: set[str]) -> None:
    """Take the list of recordings away if it names any of these ids, whose files will change."""
    file = Path(folder) / CODES_FILE
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["recordings"]
        listed = {entry["info"]["id"] for entry in entries}
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        listed = outdated  # no list that anybody could read
    if listed & outdated:
        file.unlink()


def finish_codes(
    folder: str | Path, corpus: Corpus, left_out: Mapping[str, str] | None = None
) -> None:
    """Write the list of recordings, which makes the code corpus whole.

    Parameters
    ----------
    folder
        Where the codes of all other recordings are.
    corpus
        What they were made from.
    left_out
        Recordings without codes: reason by id.
    """
    left_out = dict(sorted((left_out or {}).items()))
    recordings = []
    for info in corpus.recordings:
        if info.id in left_out:
            continue
        layout = read_layout(folder, info.id)
        recordings.append(
            {
                "info": json.loads(info.to_json()),
                "n_frames": layout.n_frames,
                "offset": layout.offset,
                "size": layout.size,
                "flagged": layout.flagged.tolist(),
            }
        )
    content = {
        "format": FORMAT,
        "corpus_digest": corpus.digest,
        "codes_digest": read_config(Path(folder) / TOKENIZER)["codes_digest"],
        "left_out": left_out,
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
    left_out
        Recordings of the corpus that have no codes: reason by id.
    n_frames
        (R,) latent frames of each.
    tokenizer
        Configuration of the tokenizer.
    digest, codes_digest
        Hashes of the corpus, and of all that turns a signal into codes.
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
            raise ValueError(
                f"{file} has format {content.get('format')}, expected {FORMAT}; run "
                "'brainfm codes' again"
            )
        config = read_config(self.path / TOKENIZER)
        if config["codes_digest"] != content["codes_digest"]:
            raise ValueError(f"{path}: codes and tokenizer/ do not belong together; make them anew")
        self.tokenizer = from_json(TokenizerConfig, config["tokenizer"], str(path))
        self.digest: str = content["corpus_digest"]
        self.codes_digest: str = content["codes_digest"]
        self.left_out: dict[str, str] = content["left_out"]
        entries: list[dict[str, Any]] = content["recordings"]
        self.recordings = [RecordingInfo(**entry["info"]) for entry in entries]
        self.n_frames = np.array([entry["n_frames"] for entry in entries], np.int64)
        self._places = [(int(entry["offset"]), int(entry["size"])) for entry in entries]
        self._flagged = [np.array(entry["flagged"], np.int64).reshape(-1, 2) for entry in entries]
        self._maps: OrderedDict[int, NDArray[np.uint16]] = OrderedDict()
        # Loaders read ahead in threads of their own.
        self._lock = threading.Lock()

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

    @property
    def tokenizer_folder(self) -> Path:
        """Return the checkpoint that made the codes."""
        return self.path / TOKENIZER

    def times(self, i: int) -> NDArray[np.float64]:
        """Return the centres of all frames of recording ``i``, (P,) seconds."""
        return frame_times(0, int(self.n_frames[i]), self.tokenizer)

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

    def read_windows(
        self, recordings: NDArray[np.int64], starts: NDArray[np.int64], n: int
    ) -> NDArray[np.uint16]:
        """Return ``n`` frames from each start on of each recording, (B, n, N, Q)."""
        last = self.n_frames[recordings] - n
        if ((starts < 0) | (starts > last)).any():
            raise ValueError(f"{n} frames from {starts.tolist()} on are outside their recordings")
        out = np.empty((len(recordings), n, *self.token_shape), "<u2")
        for row, i, start in zip(out, recordings.tolist(), starts.tolist(), strict=True):
            row[:] = self._mapped(i)[start : start + n]
        return out

    def _mapped(self, i: int) -> NDArray[np.uint16]:
        with self._lock:
            if i in self._maps:
                self._maps.move_to_end(i)
                return self._maps[i]
            if len(self._maps) >= self.max_open:
                self._maps.popitem(last=False)
            path = recording_file(self.path, self.recordings[i].id)
            offset, size = self._places[i]
            if not path.is_file() or path.stat().st_size != size:
                raise OSError(f"{path} is gone or damaged; run 'brainfm codes' again")
            # A plain view: every slice of a memmap would cost Python's time for a new one.
            self._maps[i] = np.asarray(
                np.memmap(
                    path,
                    dtype="<u2",
                    mode="r",
                    offset=offset,
                    shape=(int(self.n_frames[i]), *self.token_shape),
                )
            )
            return self._maps[i]
