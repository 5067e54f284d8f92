"""
Is it more than chance? The evaluation report
=============================================

A score means something beside what the same pipeline scores without a brain, without
pretraining, and with simple features. ``brainfm evaluate`` runs these controls on the same
trials and folds, and its first line says whether the decoder is above them. :doc:`/evaluation`
explains every part.
"""

# %%
# A decoder of tones against checkerboards in MEG and EEG, by a preset (29 trials of one person):

import json
import shlex
from pathlib import Path

from brainfm.cli import main
from brainfm.samples import sample_paths


def terminal(line):
    """Run a command as a terminal would; stop where it fails."""
    status = main(shlex.split(line)[1:])
    if status:
        raise RuntimeError(f"exit status {status}: {line}")


folder = sample_paths()[0].parent
terminal(
    "brainfm finetune fit --config demo --model.backbone.init_args.checkpoint nano "
    f"--data.source.init_args.root {folder} --trainer.enable_progress_bar false --out runs/tones"
)

# %%
# Four controls and a baseline; without the two options all are run, which takes minutes. What was
# left out is said in the verdict.

terminal(
    "brainfm evaluate runs/tones --controls noise shuffled metadata random_backbone "
    "--baselines band_power --occlusion-trials 0"
)

# %%
# The report is one HTML page, ``runs/tones/evaluation/report.html``; the numbers are beside it:

found = json.loads(Path("runs/tones/evaluation/evaluation.json").read_text())
print(found["verdict"])

# %%
# The same as a picture. Bars are 95 % intervals; of one person they are over stretches of
# trials, and say nothing of other people.

import matplotlib.pyplot as plt

rows = {"the decoder": found["scores"][0]}
rows |= {name.replace("_", " "): one["score"] for name, one in found["controls"].items()}
rows |= {name.replace("_", " "): one["score"] for name, one in found["baselines"].items()}

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for place, (name, score) in enumerate(rows.items()):
    kind = "#D55E00" if place == 0 else "#0072B2" if name == "band power" else "0.45"
    low, high = score["interval"]
    axes.plot([low, high], [place, place], color=kind)
    axes.plot(score["value"], place, "o", color=kind)
axes.axvline(0.5, color="k", ls="--", lw=0.8)
axes.set_yticks(range(len(rows)), rows)
axes.invert_yaxis()
axes.set(
    xlabel="balanced accuracy", xlim=(0.2, 1.0), title="tones against checkerboards, 29 trials"
)

# %%
# Read the verdict as it is meant: with so few trials a decoder that is far above chance need not
# be above the same network with random weights.
