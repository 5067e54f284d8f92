"""Engines for several processes, by name: ``--trainer.strategy zero_1``, ``zero_2``, ``zero_3``.

DeepSpeed's ZeRO through Lightning, on GPUs and on CPUs alike, so that what runs on the cluster is
what tests run. Lightning's own strategy refuses CPUs; the engine does not. ``ddp`` needs nothing
from here.

Checkpoints are single files as any other engine writes them, not DeepSpeed's folders: they can be
resumed by any engine on any number of ranks, are read without unpickling and need no conversion.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import DeepSpeedStrategy, Strategy, StrategyRegistry
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from brainfm.zero_state import (
    gather_optimizer,
    gather_weights,
    scatter_optimizer,
    scatter_weights,
)

STAGES = (1, 2, 3)


class ZeroStrategy(DeepSpeedStrategy):
    """DeepSpeed ZeRO on whatever accelerator the trainer has.

    On CPUs the processes talk through gloo, one process for each of ``devices``. Takes the
    arguments of Lightning's ``DeepSpeedStrategy``. Gradients are accumulated as by other engines:
    each batch counts 1 / ``accumulate_grad_batches``, and the last batches of an epoch make a step
    even if they are fewer.
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
        self._trained: list[list[nn.Parameter]] = []

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

    def _format_config(self) -> None:
        assert isinstance(self.config, dict)
        mixed = self.precision_plugin.precision == "bf16-mixed" and "bf16" not in self.config
        super()._format_config()
        if mixed:
            # The engine's bf16 rounds weights, buffers (averages of codebooks) and inputs. Mixed
            # means here what it means with other engines: only arithmetic is in bf16.
            del self.config["bf16"]
            self.config["torch_autocast"] = {
                "enabled": True,
                "dtype": "bfloat16",
                "lower_precision_safe_modules": [],
            }
            plugin: Any = self.precision_plugin
            plugin._desired_dtype = torch.float32

    @contextmanager
    def model_sharded_context(self) -> Generator[None, None, None]:
        """Build modules whole, on every rank; the engine shards them when it starts.

        Sharded at birth, a module finds its own weights empty when it sets them, and so does every
        other model that is loaded meanwhile, such as the tokenizer behind stage 2.
        """
        yield

    def _init_optimizers(self) -> Any:
        optimizer, schedule = super()._init_optimizers()
        # As the module has them; the engine puts flat tensors in their place.
        self._trained = [list(group["params"]) for group in optimizer.param_groups]
        return optimizer, schedule

    @property
    def handles_gradient_accumulation(self) -> bool:
        """Return False: the trainer says when a step is due (:meth:`training_step`)."""
        return False

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Tell the engine whether a step follows this batch, then run the module's step."""
        assert self.lightning_module is not None
        accumulating = self.lightning_module.trainer.fit_loop._should_accumulate()
        self.deepspeed_engine.set_gradient_accumulation_boundary(not accumulating)
        return super().training_step(*args, **kwargs)

    @contextmanager
    def block_backward_sync(self) -> Generator[None, None, None]:
        """Do nothing: the engine knows from :meth:`training_step` whether to exchange gradients."""
        yield

    def backward(self, closure_loss: Tensor, optimizer: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Run the engine's backward pass on a loss that the trainer has already scaled."""
        return super().backward(closure_loss, optimizer, *args, scale_wrt_gas=False, **kwargs)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Return True: the trainer hands the optimizer's state over, as with other engines."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole weights on rank 0; all ranks must ask."""
        assert self.lightning_module is not None
        return gather_weights(self.lightning_module, self._trained, keep=self.is_global_zero)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Return the whole optimizer's state on rank 0; all ranks must ask."""
        return gather_optimizer(optimizer, self._trained, keep=self.is_global_zero)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None
    ) -> None:
        """Write one file, on rank 0."""
        # Past DeepSpeedStrategy, which writes a folder of its own kind.
        Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one file; what of it belongs to a rank is taken later."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take this rank's share of the weights."""
        assert self.lightning_module is not None
        scatter_weights(self.lightning_module, self._trained, checkpoint["state_dict"])

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this rank's share of the optimizer's state."""
        assert self.lightning_module is not None
        if self.lightning_module.trainer.state.fn == TrainerFn.FITTING:
            (saved,) = checkpoint["optimizer_states"]
            scatter_optimizer(self.deepspeed_engine.optimizer, self._trained, saved)


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
