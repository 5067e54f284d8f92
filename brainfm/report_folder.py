"""The folder a report is about: which parts it has, opened when they are asked for.

Layout, any part may be missing: ``corpus/`` (with ``split.json``), ``tokenizer/`` and ``pretrain/``
(training runs), ``tokenizer-checkpoint/`` and ``checkpoint/`` (exported), ``codes/``,
``features.h5``. The folder may also be a training run itself.
"""

from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from brainfm.checkpoints import read_config
from brainfm.codes import CodeCorpus
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.held_out import Shown, held_out_recordings, matching_encoder, sides_of
from brainfm.splits import Split
from brainfm.training_log import TrainingLog, read_training_log

PARTS = MappingProxyType(
    {
        "corpus": "prepared recordings (brainfm prepare)",
        "corpus/split.json": "which recordings are held out (brainfm corpus split)",
        "tokenizer": "training run of the tokenizer (brainfm tokenizer fit)",
        "tokenizer-checkpoint": "the tokenizer (brainfm export)",
        "codes": "codes of all recordings (brainfm codes)",
        "pretrain": "training run of the masked model (brainfm pretrain fit)",
        "checkpoint": "tokenizer and masked model, to load (brainfm export)",
        "features.h5": "features of a recording (brainfm encode)",
    }
)
"""Every part of a folder, and what it is."""
OF_TOKENIZER = "train/correlation"
"""What only the tokenizer's training logs."""


class RunFolder:
    """The parts of a run; a part that is not there is None.

    Parameters
    ----------
    path
        The folder of the parts, or of a training run.
    max_recordings
        Most recordings of a side that are looked at.
    device
        Where the tokenizer runs.
    """

    def __init__(self, path: str | Path, *, max_recordings: int = 8, device: str = "cpu") -> None:
        self.path = Path(path)
        self.max_recordings = max_recordings
        self.device = device
        if max_recordings < 1:
            raise ValueError(f"recordings must be at least 1, got {max_recordings}")
        if not self.path.is_dir():
            raise FileNotFoundError(f"{path} is not a folder; give the folder of a run")
        self.stage = stage_of(self.path)
        if not self.parts():
            raise FileNotFoundError(
                f"{path} has nothing to report on; it holds none of {', '.join(PARTS)}"
            )

    def parts(self) -> list[str]:
        """Return the parts that are there."""
        return [name for name in PARTS if self.has(name)]

    def has(self, name: str) -> bool:
        """Tell whether a part is there."""
        return self._place(name).exists()

    def _place(self, name: str) -> Path:
        return self.path if name == self.stage else self.path / name

    @cached_property
    def corpus(self) -> Corpus | None:
        """Return the corpus."""
        return Corpus(self.path / "corpus") if self.has("corpus") else None

    @cached_property
    def split(self) -> Split | None:
        """Return the split."""
        name = "corpus/split.json"
        return Split.load(self.path / name) if self.has(name) else None

    @cached_property
    def codes(self) -> CodeCorpus | None:
        """Return the codes."""
        return CodeCorpus(self.path / "codes") if self.has("codes") else None

    @cached_property
    def encoder(self) -> Encoder | None:
        """Return the exported tokenizer, checked against the corpus."""
        names = ("tokenizer-checkpoint", "codes/tokenizer", "checkpoint")
        found = [self.path / name for name in names if self.has(name)]
        if not found:
            return None
        return matching_encoder(found[0], self.corpus, self.device)

    @cached_property
    def exported_step(self) -> int | None:
        """Return the training steps of the exported masked model; None where unknown."""
        if not self.has("checkpoint/config.json"):
            return None
        training = read_config(self.path / "checkpoint").get("training", {})
        steps = training.get("masked_model", {}).get("steps")
        return None if steps is None else int(steps)

    def log(self, stage: str) -> TrainingLog | None:
        """Return what ``tokenizer`` or ``pretrain`` logged; None if nothing."""
        try:
            return read_training_log(self._place(stage))
        except FileNotFoundError:
            return None

    def sides(self) -> dict[str, list[int]]:
        """Return the places of the recordings of every side; without a split one side, ''."""
        return {} if self.corpus is None else sides_of(self.corpus, self.split)

    def held_out(self) -> list[Shown]:
        """Return evenly chosen recordings of every side but training; of all without a split."""
        if self.corpus is None:
            return []
        return held_out_recordings(self.corpus, self.split, self.max_recordings)


def stage_of(path: Path) -> str | None:
    """Return which part of a folder a training run is, by what it logged; None if it is no run."""
    try:
        log = read_training_log(path)
    except FileNotFoundError:
        return None
    return "tokenizer" if len(log.series(OF_TOKENIZER).steps) else "pretrain"
