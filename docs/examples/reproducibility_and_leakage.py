"""
Reproducibility, and leaks that stop a run
==========================================

A number holds if it can be made again, and if nothing of the test was in the training. Both are
checked here, the second by planting leaks: every one of them must stop the run.
"""

# %%
# The same recording gives the same bytes
# ---------------------------------------
#
# Preparation, splits and features depend on what is in the files, not on their names, order, or
# the number of processes:

import hashlib
import shlex
import shutil
from pathlib import Path

import brainfm
from brainfm.cli import main
from brainfm.samples import SAMPLES

recordings = {sample.file: sample.path for sample in SAMPLES}


def terminal(line):
    """Run a command as a terminal would, and return its exit status."""
    return main(shlex.split(line)[1:])


model = brainfm.from_pretrained("nano")
for _ in range(2):
    values = model.encode(recordings["muse.edf"]).values
    print(hashlib.sha256(values.tobytes()).hexdigest()[:16])

# %%
# Pretraining: one recording under two names
# ------------------------------------------
#
# The second subject of this data set is a copy of the first, as happens when folders are merged.
# By subject the two would be divided; what they hold is the same.

folder = Path("runs/twins")
folder.mkdir(parents=True, exist_ok=True)
for name, file in {
    "sub-01": "hypyp_1.edf", "sub-02": "hypyp_1.edf", "sub-03": "eegmmidb_1.edf",
}.items():  # fmt: skip
    shutil.copy(recordings[file], folder / f"{name}_task-rest_eeg.edf")

terminal("brainfm prepare 'runs/twins/*.edf' --out runs/twin-corpus")

# %%
# ``prepare`` has noticed. A split puts copies on one side, whatever they are called:

terminal("brainfm corpus split runs/twin-corpus --fractions train=0.5 validation=0.5")
terminal("brainfm corpus audit runs/twin-corpus")

# %%
# Now the leak is planted: a manifest written by hand puts the copy on the other side. The audit
# names what is on both sides and ends with status 1.

import json

manifest = json.loads(Path("runs/twin-corpus/split.json").read_text())
sides = manifest["sides"]
entries = {entry["subject"]: entry for side in sides.values() for entry in side}
sides["train"] = [entries["01"], entries["03"]]
sides["validation"] = [entries["02"]]
Path("runs/leak.json").write_text(json.dumps(manifest))

print("exit status", terminal("brainfm corpus audit runs/twin-corpus --split runs/leak.json"))

# %%
# The two manifests side by side; the line joins what holds the same samples.

import matplotlib.pyplot as plt

people = sorted(entries)
honest = json.loads(Path("runs/twin-corpus/split.json").read_text())["sides"]
figure, both = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained", sharey=True)
for axes, (title, found) in zip(
    both, {"made by the command": honest, "written by hand: a leak": sides}.items(), strict=True
):
    place = {one["subject"]: side for side, many in found.items() for one in many}
    for row, person in enumerate(people):
        axes.plot(place[person], row, "o", ms=12, color="#0072B2")
    leak = place["01"] != place["02"]
    axes.plot([place["01"], place["02"]], [0, 1], color="#D55E00" if leak else "0.5", lw=3)
    axes.set_title(title)
    axes.margins(0.4)
both[0].set_yticks(range(len(people)), [f"sub-{person}" for person in people])

# %%
# Training with that manifest is refused before the first step:

import contextlib
import io


def refused(line):
    """Run a command that must fail, and print what it says."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        status = terminal(line)
    print(f"exit status {status}: {said.getvalue().strip().splitlines()[-1]}")


refused(
    "brainfm tokenizer fit --config nano --data.corpus runs/twin-corpus "
    "--data.split runs/leak.json --trainer.max_steps 1 --trainer.enable_progress_bar false "
    "--out runs/leaking-tokenizer"
)
