"""The random states of every rank, kept with a checkpoint, so that a run goes on as if unbroken."""

import random
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer


class RandomStates(Callback):
    """Saves the states of torch, numpy and Python of all ranks and sets them again.

    They are set when the first batch of a resumed run is there, since what happens before (building
    loaders, the trial run of validation) draws from them too. Ranks that a run did not have before
    derive theirs from rank 0's and their number.
    """

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] | None = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the states of all ranks into the checkpoint; all ranks are here."""
        mine = states(trainer.strategy.root_device)
        everyone = [mine]
        if trainer.world_size > 1:
            everyone = [{} for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(everyone, mine)
        checkpoint["random_states"] = everyone

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember the states; files from before they were saved have none."""
        self._waiting = checkpoint.get("random_states")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set this rank's states."""
        if self._waiting is not None:
            rank = trainer.global_rank
            if rank < len(self._waiting):
                restore(self._waiting[rank], trainer.strategy.root_device)
            else:
                first = self._waiting[0]["torch"].numpy()
                torch.manual_seed(int(np.random.SeedSequence([*first, rank]).generate_state(1)[0]))
            self._waiting = None


def states(device: torch.device) -> dict[str, Any]:
    """Return the states of this process as tensors and plain values."""
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, numbers, gauss_next = random.getstate()
    found = {
        "torch": torch.get_rng_state(),
        "numpy": {
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "rest": [int(position), int(has_gauss), float(gauss)],
        },
        "python": {"numbers": torch.tensor(numbers), "rest": [version, gauss_next]},
    }
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore(saved: dict[str, Any], device: torch.device) -> None:
    """Set what :func:`states` returned."""
    torch.set_rng_state(saved["torch"])
    keys = saved["numpy"]["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, *saved["numpy"]["rest"]))  # noqa: NPY002
    version, gauss_next = saved["python"]["rest"]
    random.setstate((version, tuple(saved["python"]["numbers"].tolist()), gauss_next))
    if device.type == "cuda" and "cuda" in saved:
        torch.cuda.set_rng_state(saved["cuda"], device)
