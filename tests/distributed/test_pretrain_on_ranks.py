"""Two ranks train as one does, go on as one and as two again, and export what they hold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from brainfm.checkpoints import load_checkpoint
from brainfm.export import export_run

pytestmark = [pytest.mark.slow, pytest.mark.distributed, pytest.mark.timeout(400)]


def engine(strategy, *more):
    marks = [pytest.mark.deepspeed] if strategy.startswith("zero") else []
    return pytest.param(strategy, *more, marks=marks, id=strategy)


def over_ranks(notes, name):
    return np.mean([rank[name] for rank in notes], axis=0)


@pytest.mark.parametrize(
    ("strategy", "single"),
    [
        engine("ddp", "auto"),
        engine("zero_1", "zero_1"),
        engine("zero_2", "auto"),
        engine("zero_3", "zero_3"),
    ],
)
def test_two_ranks_one_and_two_again_are_one_run(ranks, coded, alone, tmp_path, strategy, single):
    """SIGTERM reaches one rank alone; what goes on finds the checkpoint by itself."""
    data, run = str(coded), str(tmp_path / "run")
    folder, whole = alone
    parts = [
        ranks("pretrain_worker.py", data, run, strategy, "1:2:SIGTERM", statuses=[143, 143]),
        ranks("pretrain_worker.py", data, run, single, "0:6:SIGTERM", n=1, statuses=[143]),
        ranks("pretrain_worker.py", data, run, strategy, "never"),
    ]
    assert "continuing from step 7" in ranks.said[0]
    assert [part[0]["steps"] for part in parts] == [[1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for name in ("losses", "norms"):
        found = np.concatenate([over_ranks(part, name) for part in parts])
        np.testing.assert_allclose(found, whole[name], rtol=2e-5, err_msg=name)

    for notes, source, out in ((whole, folder, "one"), (parts[2][0], tmp_path / "run", "two")):
        export_run(source, tmp_path / out)
        model = load_checkpoint(tmp_path / out).masked_model
        codes = torch.arange(24).reshape(1, 3, 4, 2) % 8
        hidden = torch.zeros(1, 3, 4, dtype=torch.bool)
        hidden[..., 2] = True
        logits = torch.tensor(notes["logits"])
        torch.testing.assert_close(model(codes, hidden).flatten(), logits, atol=1e-6, rtol=0)
    assert parts[2][0]["engine"] == ("DDPStrategy" if strategy == "ddp" else "ShardingAll")


@pytest.mark.deepspeed
def test_two_nodes_are_one_run(coded, alone, tmp_path, unused_port):
    """Two agents of torchrun with one rank each, on the loopback device."""
    worker = str(Path(__file__).parent / "pretrain_worker.py")
    words = [str(coded), str(tmp_path / "run"), "zero_2", "never", "--trainer.num_nodes=2"]
    agents = [
        subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "torch.distributed.run",
                    "--nnodes=2",
                    "--nproc-per-node=1",
                ),
                *(f"--node-rank={node}", "--master-addr=127.0.0.1", f"--master-port={unused_port}"),
                *(worker, *words, str(tmp_path)),
            ],
            env=os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in range(2)
    ]
    try:
        said = [agent.communicate(timeout=240)[0] for agent in agents]
    finally:
        for agent in agents:
            agent.kill()
    assert [agent.returncode for agent in agents] == [0, 0], said
    notes = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    np.testing.assert_allclose(over_ranks(notes, "losses"), alone[1]["losses"], rtol=2e-5)
