"""
Train a tokenizer and a masked model
====================================

The whole way from recordings to a checkpoint, with few steps so that it takes seconds on a CPU.
On a cluster the lines are the same with another preset and an engine: see :doc:`/cluster`.
"""

# %%
# Recordings to corpus
# --------------------
#
# Two devices are learned from; a second recording of one of them is held out.

import csv
import shlex
from pathlib import Path

from brainfm.cli import main
from brainfm.samples import SAMPLES


def terminal(line):
    """Run a command as a terminal would; stop where it fails."""
    status = main(shlex.split(line)[1:])
    if status:
        raise RuntimeError(f"exit status {status}: {line}")


recordings = {sample.file: sample.path for sample in SAMPLES}
files = " ".join(str(recordings[f"{name}"]) for name in ("eegmmidb_1.edf", "hypyp_1.edf"))

terminal(f"brainfm prepare {files} --dataset learn --out runs/corpus")
terminal(f"brainfm prepare {recordings['hypyp_2.edf']} --dataset test --out runs/corpus")
terminal(
    "brainfm corpus split runs/corpus --by recording "
    "--dataset-fractions learn:train=1 test:validation=1"
)

# %%
# Stage 1: the tokenizer
# ----------------------
#
# Sixty steps of the preset ``nano``, which itself takes ten times as many, and waits longer
# before it quantizes. A run that is killed goes on when the same line is given again, and never
# overwrites another.

quiet = "--trainer.enable_progress_bar false"
terminal(
    "brainfm tokenizer fit --config nano --data.corpus runs/corpus "
    f"--model.quantize_after 20 --trainer.max_steps 60 {quiet} --out runs/tokenizer"
)
terminal("brainfm export runs/tokenizer --out runs/tokenizer-checkpoint")
terminal("brainfm codes runs/corpus --tokenizer runs/tokenizer-checkpoint --out runs/codes")

# %%
# Stage 2: the masked model
# -------------------------
#
# It sees some codes of a window and predicts the hidden ones.

terminal(
    "brainfm pretrain fit --config nano --data.codes runs/codes "
    "--data.split runs/corpus/split.json "
    f"--trainer.max_steps 60 --trainer.val_check_interval 20 {quiet} --out runs/pretrain"
)
terminal("brainfm export runs/pretrain --out runs/checkpoint")

# %%
# The checkpoint is a folder of plain files. It names every recording it was trained on, so that
# an overlap with somebody's test data can be told.

for path in sorted(Path("runs/checkpoint").iterdir()):
    print(f"{path.stat().st_size:>9,} bytes  {path.name}")

# %%
# What was learned
# ----------------
#
# The log holds losses beside what one would reach without a model. Sixty steps on two minutes of
# signal teach next to nothing, and the log says so: on validation the masked model need not even
# reach the unigram. On the left, nothing is quantized before step 20, and each point is one batch
# of one of two devices.

import matplotlib.pyplot as plt


def column(stage, name):
    """Return steps and values of a column of a run's log."""
    (log,) = Path("runs", stage, "logs").glob("version_*/metrics.csv")
    with log.open() as file:
        rows = [row for row in csv.DictReader(file) if row.get(name)]
    return [int(row["step"]) for row in rows], [float(row[name]) for row in rows]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(*column("tokenizer", "train/correlation"), "o-", color="#0072B2")
left.set(title="tokenizer", xlabel="step", ylabel="correlation with the original, training")
right.plot(*column("pretrain", "train/loss"), color="#0072B2", label="training")
right.plot(*column("pretrain", "validation/loss"), "o", color="#D55E00", label="validation")
right.plot(*column("pretrain", "validation/unigram_loss"), "k--", label="without a model (unigram)")
right.set(title="masked model", xlabel="step", ylabel="loss on hidden codes (nats)")
right.legend(frameon=False)
