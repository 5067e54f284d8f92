"""
BOLD from EEG: a synthetic person
=================================

Everything here is **synthetic**: in three regions a 10 Hz rhythm waxes and wanes, and BOLD
follows its power through the haemodynamic response, later by each region's own lag. The decoder
has to find that from the electrodes. :doc:`/bold` explains the parts.
"""

# %%
# The recordings: one person, two sessions of three minutes, a volume every two seconds.

import shlex
from pathlib import Path

from brainfm.cli import main


def terminal(line):
    """Run a command as a terminal would; stop where it fails."""
    status = main(shlex.split(line)[1:])
    if status:
        raise RuntimeError(f"exit status {status}: {line}")


terminal(
    "brainfm simulate --bold-rois 3 --subjects 1 --sessions 2 --duration 180 --snr 0 --sfreq 128 "
    "--montage standard_1005 --channels Fz Cz Pz C3 C4 T7 T8 O1 O2 P3 P4 F3 F4 Oz "
    "--out runs/bold-data"
)

# %%
# The settings: an event is a volume, a trial the 20 s before it, and sessions are never divided.
# The head takes the power of the sources of ``nano`` in bands and learns when it shows in BOLD.

Path("bold.yaml").write_text("""
data:
  source:
    class_path: brainfm.finetune.bold_sources.Volumes
    init_args:
      source:
        class_path: brainfm.finetune.recording_sources.Files
        init_args:
          root: runs/bold-data
          files: ["**/*_raw.fif"]
          events: {kind: table, file: "{folder}/{stem}_bold.tsv", name: time, onset: time}
      t_r: 2.0
  targets:
    class_path: brainfm.finetune.bold_targets.BoldTargets
    init_args: {root: runs/bold-data, file: "sub-{subject}/ses-{session}/{stem}_bold.tsv", t_r: 2.0}
  trials: {window: [-20.0, 0.0], outside: drop}
  split: {by: session, gap: 20.0, validation: 0.0}
  batch_size: 64
model:
  backbone:
    class_path: brainfm.finetune.pretrained.Pretrained
    init_args: {checkpoint: nano, features: sources}
  head:
    class_path: brainfm.finetune.bold_head.BoldHead
    init_args: {lag: {kind: fir}, bands: [[4.0, 8.0], [8.0, 13.0], [13.0, 30.0]]}
  optimizer: {lr: 2.0e-2}
  adaptation: {kind: frozen}
trainer: {max_epochs: 12, num_sanity_val_steps: 0, enable_progress_bar: false}
""")
terminal("brainfm finetune fit --config bold.yaml --out runs/bold")

# %%
# Decoded time courses of a session that training never had:

import matplotlib.pyplot as plt
import numpy as np

from brainfm.finetune.predictions import Predictions, fold_path, predictions_path

found = Predictions.load(predictions_path(fold_path(Path("runs/bold"), 0), "test"))
figure, axes = plt.subplots(3, 1, figsize=(8, 5.4), sharex=True, layout="constrained")
for region, row in enumerate(axes):
    truth, decoded = found.truth[:, region], found.output[:, region]
    r = np.corrcoef(truth, decoded)[0, 1]
    time = 2.0 * np.arange(len(truth))
    row.plot(time, (truth - truth.mean()) / truth.std(), color="0.5", label="synthetic BOLD")
    row.plot(time, (decoded - decoded.mean()) / decoded.std(), color="#D55E00", label="from EEG")
    row.set_title(f"region {region}: r = {r:.2f}", loc="left", fontsize=10)
axes[0].legend(loc="upper right", ncols=2)
axes[-1].set_xlabel("time (s)")

# %%
# Divide a single recording by time without a gap, and the run is stopped: neighbouring volumes
# are made by the same activity, so that training would know the test.

import contextlib
import io

said = io.StringIO()
with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
    status = main(
        shlex.split(
            "finetune fit --config bold.yaml --data.split.by time --data.split.folds 2 "
            "--data.split.gap 5 --out runs/leaking"
        )
    )
print(f"exit status {status}: {said.getvalue().strip().splitlines()[-1]}")
