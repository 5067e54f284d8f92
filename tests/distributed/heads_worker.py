"""One rank that takes its part of a batch and computes losses of heads and gradients through DDP.

Usage: python heads_worker.py SIZES OUT, with the variables of torchrun; SIZES are the trials of
each rank with commas between, and blanks between several ways to divide the batch.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed
from brainfm.finetune.backbone import FeatureShape
from brainfm.finetune.classification import Classification
from brainfm.finetune.gathering import share_of_trials
from brainfm.finetune.regression import Regression, RegressionConfig
from brainfm.finetune.retrieval import ContrastConfig, Retrieval
from brainfm.finetune.targets import Targets
from brainfm.finetune.trial_batch import TrialBatch
from torch.nn.parallel import DistributedDataParallel

from brainfm.batches import Batch

SHAPE = FeatureShape(4, 2, 3)
N = 8


def heads(generator):
    features = torch.randn(5, 3, 4, generator=generator).numpy()
    contrast = {
        loss: (Retrieval(ContrastConfig(loss=loss, target_width=3)), features)
        for loss in ("clip_one_sided", "clip", "siglip", "dsiglip")
    }
    return contrast | {
        "mse": (Retrieval(ContrastConfig(mse=0.7, time="kept")), features),
        "rivals": (Retrieval(ContrastConfig(negatives="rivals")), features),
        "classes": (Classification(), None),
        "values": (Regression(), features[:, 0]),
        "correlation": (Regression(RegressionConfig(loss="correlation")), features[:, 0]),
    }


class Loss(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, batch):
        loss = self.head.loss(self.head(batch.features, batch), batch)
        share = 1.0 if self.head.global_loss else share_of_trials(len(batch.trial), loss)
        return loss * share, loss


def part_of(rows, features, mine):
    n = len(mine)
    zeros = torch.zeros(n, dtype=torch.int64)
    return TrialBatch(
        signal=Batch(*(torch.zeros(n, 0) for _ in Batch._fields)),
        features=features[mine],
        subject=zeros,
        target=torch.as_tensor(rows)[mine],
        rivals=(torch.as_tensor(rows)[mine, None] + 1) % 5,
        passage=zeros,
        onset=zeros.float(),
        trial=mine,
    )


def losses(counts):
    """Loss and gradient of every head for the batch divided so."""
    mine = torch.arange(N).split(counts)[torch.distributed.get_rank()]
    generator = torch.Generator().manual_seed(0)
    rows = np.array([0, 1, 2, 1, 3, 0, 1, 4])
    features = torch.randn(N, *SHAPE, generator=generator)
    torch.manual_seed(0)
    found = {}
    for name, (head, values) in heads(generator).items():
        targets = Targets(
            ids=np.array(list("abcde")), rows=rows, values=values, rivals=((rows + 1) % 5)[:, None]
        )
        head.build(SHAPE, targets, training=rows)
        model = DistributedDataParallel(Loss(head))  # must live as long as the backward pass
        scaled, loss = model(part_of(rows, features, mine))
        scaled.backward()
        total = scaled.detach().clone()
        torch.distributed.all_reduce(total)
        found[name] = {
            "mean": total.item() / len(counts),
            "own": loss.item(),
            "gradient": {n: p.grad.flatten().tolist() for n, p in head.named_parameters()},
        }
    return found


def main(sizes, out):
    torch.distributed.init_process_group("gloo")
    found = {way: losses([int(n) for n in way.split(",")]) for way in sizes.split()}
    (Path(out) / f"{torch.distributed.get_rank()}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
