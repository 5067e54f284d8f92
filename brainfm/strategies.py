"""Engines for several processes, by name: ``--trainer.strategy zero_1``, ``zero_2``, ``zero_3``.

DeepSpeed's ZeRO through Lightning, on GPUs and on CPUs alike, so that what runs on the cluster is
what tests run. Lightning's own strategy refuses CPUs; the engine does not. ``ddp`` needs nothing
from here.
"""

import os
from importlib.util import find_spec
from typing import Any

import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import DeepSpeedStrategy, StrategyRegistry

STAGES = (1, 2, 3)


class ZeroStrategy(DeepSpeedStrategy):
    """DeepSpeed ZeRO on whatever accelerator the trainer has.

    On CPUs the processes talk through gloo, one process for each of ``devices``. Takes the
    arguments of Lightning's ``DeepSpeedStrategy``.
    """

    def __init__(self, **settings: Any) -> None:
        if find_spec("deepspeed") is None:
            raise ValueError(
                "the strategies zero_1, zero_2 and zero_3 need DeepSpeed: "
                "pip install 'brainfm-toolkit[deepspeed]'; ddp does without"
            )
        if not torch.cuda.is_available():
            # Read when DeepSpeed is imported, which the next line does.
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        # Only for the engine's own log. Left to itself, Lightning asks the loader for its batch
        # size, and ours have none: batches hold a number of channel-seconds.
        settings.setdefault("logging_batch_size_per_gpu", 1)
        super().__init__(**settings)

    @property
    def on_cpu(self) -> bool:
        """Tell whether the trainer's accelerator is the CPU."""
        return isinstance(self.accelerator, CPUAccelerator)

    @property
    def root_device(self) -> torch.device:
        """Return this process's device; the engine wants a number with it, also for CPUs."""
        return torch.device("cpu", self.local_rank) if self.on_cpu else super().root_device

    def setup_environment(self) -> None:
        """Start the process group."""
        if self.on_cpu:
            # Past DeepSpeedStrategy, whose only addition is to refuse.
            super(DeepSpeedStrategy, self).setup_environment()
        else:
            super().setup_environment()

    def setup_distributed(self) -> None:
        """Join the other processes."""
        if self.on_cpu:
            assert self.parallel_devices is not None
            self.parallel_devices = [
                torch.device("cpu", i) for i in range(len(self.parallel_devices))
            ]
        super().setup_distributed()


def register_strategies() -> None:
    """Let ``zero_1`` to ``zero_3`` name a strategy, as ``ddp`` does.

    Imports no DeepSpeed; only a trainer with such a strategy does.
    """
    for stage in STAGES:
        name = f"zero_{stage}"
        if name not in StrategyRegistry:
            StrategyRegistry.register(
                name, ZeroStrategy, description=f"DeepSpeed ZeRO-{stage}, GPUs or CPUs", stage=stage
            )
