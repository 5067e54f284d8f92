"""Memory for batches that is used again and again.

A fresh 10 MB costs more time to be mapped, zeroed and shared than to be filled with samples. So the
loader owns a few blocks that its workers write to; a batch is a view of one of them, and the block
is free again when the last tensor that looks at it is gone.
"""

import os
import shutil
import weakref
from collections import deque

import numpy as np
import torch

from brainfm.batches import Batch, batch_in

SHARED_MEMORY = "/dev/shm"


class BatchSlots:
    """Equal blocks of memory, shared with worker processes if asked for.

    Parameters
    ----------
    n_slots
        Blocks.
    n_bytes
        Bytes of each.
    shared
        Whether other processes write to them.
    samples
        Type of ``x`` of the batches.

    Attributes
    ----------
    memory
        The blocks, (n_bytes,) uint8 each; they travel to the workers.
    """

    def __init__(
        self, n_slots: int, n_bytes: int, *, shared: bool, samples: torch.dtype = torch.float32
    ) -> None:
        if shared and os.path.isdir(SHARED_MEMORY):
            free = shutil.disk_usage(SHARED_MEMORY).free
            if n_slots * n_bytes > free:
                raise ValueError(
                    f"the loader needs {n_slots * n_bytes / 1e6:.0f} MB of shared memory, "
                    f"{SHARED_MEMORY} has {free / 1e6:.0f} MB; use fewer workers, a smaller batch "
                    "or prefetch, or enlarge it (docker run --shm-size)"
                )
        self.memory = [
            # What DataLoader's own collation uses; share_memory_() would copy the empty block.
            torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(n_bytes))
            if shared
            else torch.empty(n_bytes, dtype=torch.uint8)
            for _ in range(n_slots)
        ]
        self._samples = samples
        self._arrays = [block.numpy() for block in self.memory]
        self._free = deque(range(n_slots))
        self._in_flight: set[int] = set()

    def take(self) -> int | None:
        """Return a free block to be written to, or None if the batches still in use fill all."""
        if not self._free:
            return None
        # The block used last is the one most likely still in the processor's cache.
        slot = self._free.pop()
        self._in_flight.add(slot)
        return slot

    def deliver(self, slot: int, shape: tuple[int, int, int]) -> Batch:
        """Return what was written to a block; the block is freed with the last of its tensors."""
        self._in_flight.discard(slot)
        # The storage of all tensors keeps this one array alive, and only they do.
        view: np.ndarray = self._arrays[slot][:]
        finalizer = weakref.finalize(view, self._free.append, slot)
        finalizer.atexit = False
        return batch_in(torch.from_numpy(view), *shape, samples=self._samples)

    def recall(self) -> None:
        """Free the blocks whose batches were asked for and will never be delivered."""
        self._free.extend(sorted(self._in_flight))
        self._in_flight.clear()
