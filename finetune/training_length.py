"""How long a decoder is trained where nothing says so."""

from typing import Any

from lightning import Callback, LightningModule, Trainer

EPOCHS = 30
STEPS = 300
"""Few trials make few batches: an epoch is then one step, and 30 steps teach a network nothing."""


def names_no_length(trainer: Any) -> bool:
    """Tell whether the settings of a trainer leave its length open."""
    return (
        trainer.get("max_epochs") is None
        and trainer.get("max_steps", -1) == -1
        and trainer.get("max_time") is None
    )


class DefaultLength(Callback):
    """Trains ``EPOCHS`` epochs, or as many as make ``STEPS`` steps where those are more."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the number of epochs; the data are ready."""
        if stage != "fit":
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        in_a_step = data.batch_size * trainer.world_size * trainer.accumulate_grad_batches
        steps = -(-len(data.indices("train")) // in_a_step)
        epochs = max(EPOCHS, -(-STEPS // max(1, steps)))
        trainer.fit_loop.max_epochs = epochs
        if trainer.is_global_zero:
            other = "trainer.max_epochs or trainer.max_steps says otherwise"
            print(f"trained for {epochs} epochs; {other}", flush=True)
