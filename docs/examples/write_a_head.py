"""
Write a head of your own
========================

What is new in a task is what is decoded and how a prediction is judged: two short classes.
Folds, adaptation, controls, intervals and reports come with them. This example predicts how
long a person will take to press a button, as the median of a distribution, from the EEG around
the stimulus. :doc:`/own_task` tells the same story with a settings file beside a module.
"""

# %%
# The recording is bundled (EEGLAB's tutorial data, one minute): a ``square`` appears, the person
# presses (``rt``). Targets are seconds from each square to the press after it; a target source
# gets the table of trials and returns one target for each.

import mne
import numpy as np
import torch

from brainfm.finetune.head import Head
from brainfm.finetune.targets import Targets, TargetSource
from brainfm.samples import SAMPLES

recordings = {sample.file: sample.path for sample in SAMPLES}


class ReactionTimes(TargetSource):
    """Seconds from each trial's event to the button press after it."""

    def __init__(self, file: str, press: str = "rt") -> None:
        self.file, self.press = file, press

    def make(self, trials):
        """Return the targets of a table of trials."""
        notes = mne.io.read_raw(self.file).annotations
        press = np.append(notes.onset[notes.description == self.press], np.inf)
        onset = np.array([trial.onset for trial in trials.rows])
        seconds = np.minimum(press[np.searchsorted(press, onset)] - onset, 1.0)
        names = np.array([f"trial {k}" for k in range(len(onset))])
        values = seconds[:, None].astype(np.float32)
        return Targets(ids=names, rows=np.arange(len(onset)), values=values, units=("s",))


# %%
# A head gets pooled features, and says how many outputs it wants, its loss and its prediction.
# ``kind`` says how predictions are judged: ``classes``, ``retrieval``, ``values`` or ``text``.


class Quantiles(Head):
    """Quantiles by the pinball loss (Koenker and Bassett 1978); predicts the median."""

    kind = "values"
    levels = torch.tensor([0.1, 0.5, 0.9])

    def n_outputs(self, targets):
        """Return one output per quantile."""
        return len(self.levels)

    def loss(self, output, batch):
        """Return the pinball loss of quantiles (B, 3)."""
        missing = self.values[batch.target] - output
        return torch.maximum(self.levels * missing, (self.levels - 1) * missing).mean()

    def predict(self, output, batch):
        """Return the median (B, 1)."""
        return output[:, 1:2]


# %%
# Settings name classes by where they are imported from. Here that is this script itself,
# ``__main__``; in a project it is a module in the folder where the command runs.

import shlex
from pathlib import Path

from brainfm.cli import main

Path("reaction.yaml").write_text(f"""
data:
  source:
    class_path: brainfm.finetune.recording_sources.Files
    init_args:
      root: {recordings["eeglab_raw.fif"].parent}
      files: [eeglab_raw.fif]
      dataset: attention
      events: {{kind: annotations}}
  trials: {{window: [-0.2, 0.3], labels: {{square: square}}}}
  split: {{by: time, folds: 4, validation: 0.25}}
  targets:
    class_path: __main__.ReactionTimes
    init_args: {{file: {recordings["eeglab_raw.fif"]}}}
model:
  backbone:
    class_path: brainfm.finetune.pretrained.Pretrained
    init_args: {{checkpoint: nano}}
  head: {{class_path: __main__.Quantiles}}
  adaptation: {{kind: frozen}}
trainer: {{max_epochs: 20, enable_progress_bar: false, num_sanity_val_steps: 0}}
""")
status = main(shlex.split("finetune fit --config reaction.yaml --out runs/reaction"))
print("exit status", status)

# %%
# Every trial was predicted by a decoder that was fitted to other stretches of the recording:

import matplotlib.pyplot as plt

from brainfm.finetune.predictions import Predictions, fold_path, predictions_path

folds = [
    Predictions.load(predictions_path(fold_path(Path("runs/reaction"), k), "test"))
    for k in range(4)
]
truth = np.concatenate([fold.truth for fold in folds])[:, 0]
median = np.concatenate([fold.output for fold in folds])[:, 0]

figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
axes.plot(truth, median, "o", color="#0072B2")
axes.plot([0.2, 1], [0.2, 1], "k--", lw=0.8)
axes.set(xlabel="reaction time (s)", ylabel="predicted median (s)", title="20 trials of one person")

# %%
# With twenty trials there need be nothing to see, and most of the time there is not; the point
# is that you are told: ``brainfm evaluate runs/reaction`` compares the correlation with that of
# noise, of shuffled trials, and of the trials' place in the session.
