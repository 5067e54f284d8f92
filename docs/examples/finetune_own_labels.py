"""
Fine-tune on your own labels
============================

A settings file names recordings, events, the window around each, who is never on two sides of a
split, and the decoder. This one tells tones from checkerboards in MEG and EEG of one person
(two bundled stretches of MNE's sample recording).
"""

# %%
# The settings
# ------------
#
# ``labels`` reads from a file's path whose recording it is. The readout is solved in closed form
# (``ridge``), which is the right choice for few trials; ``linear``, ``lora``, ``full`` and
# others train.

from pathlib import Path

from brainfm.samples import sample_paths

folder = sample_paths()[0].parent
settings = f"""
data:
  source:
    class_path: brainfm.finetune.recording_sources.Files
    init_args:
      root: {folder}
      files: ["neuromag_?_raw.fif"]
      labels: 'neuromag_(?P<run>\\d)'
      events:
        kind: stim
        channel: STI 014
        names: {{"1": tone, "2": tone, "3": checkerboard, "4": checkerboard}}
  trials: {{window: [-0.05, 0.45], baseline: [-0.1, 0.0], outside: drop}}
  split: {{by: run, validation: 0.0}}
model:
  backbone:
    class_path: brainfm.finetune.pretrained.Pretrained
    init_args: {{checkpoint: nano, features: sources}}
  head:
    class_path: brainfm.finetune.classification.Classification
    init_args:
      pooling: {{kind: course}}
  adaptation: {{kind: ridge, penalties: [1.0]}}
trainer: {{accelerator: cpu, devices: 1, enable_progress_bar: false}}
"""
Path("mine.yaml").write_text(settings)

# %%
# Fit
# ---
#
# One decoder for every fold: trained on one stretch, tested on the other.

import shlex

from brainfm.cli import main


def terminal(line):
    """Run a command as a terminal would; stop where it fails."""
    status = main(shlex.split(line)[1:])
    if status:
        raise RuntimeError(f"exit status {status}: {line}")


terminal("brainfm finetune fit --config mine.yaml --out runs/mine")

# %%
# What was decoded
# ----------------
#
# Predictions of the test sides are files; every trial was tested once. The lines above also say
# whether pretraining has met these recordings (it never sees labels).

import matplotlib.pyplot as plt
import numpy as np

from brainfm.finetune.predictions import Predictions, fold_path, predictions_path
from brainfm.finetune.run_record import RunRecord

folds = [
    Predictions.load(predictions_path(fold_path(Path("runs/mine"), k), "test")) for k in (0, 1)
]
trial = np.concatenate([fold.trial for fold in folds])
target = np.concatenate([fold.target for fold in folds])
chance = np.concatenate([fold.output for fold in folds])
names = RunRecord.load(Path("runs/mine")).ids

figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
for row, (name, colour) in enumerate(zip(names, ("#D55E00", "#0072B2"), strict=True)):
    of_class = target == row
    axes.plot(trial[of_class], chance[of_class, 1], "o", color=colour, label=name)
axes.axhline(0.5, color="0.6", lw=0.8)
axes.set(
    xlabel="trial, in order of time",
    ylabel=f"probability of {names[1]}",
    title="every trial, by a readout fitted to the other stretch",
)
axes.legend(title="what there was")
hit = np.mean([(chance[target == k].argmax(axis=1) == k).mean() for k in range(len(names))])
print(f"balanced accuracy {hit:.2f} on {len(target)} trials; chance is .5")

# %%
# Twenty-nine trials of one person say that the line works, and nothing about other people.
# ``brainfm evaluate`` says more: :ref:`sphx_glr_generated_gallery_evaluation_report.py`.
#
# New recordings
# --------------
#
# A finished run decodes other recordings, whose events need no labels; here, as a stand-in, the
# second stretch again, with the decoder of the first fold.

terminal(
    "brainfm finetune predict --run runs/mine "
    "--data.source.init_args.files '[neuromag_2_raw.fif]' --out runs/new"
)
