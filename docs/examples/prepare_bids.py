"""
Prepare a BIDS data set
=======================

A *corpus* is a standardised copy of recordings of any format, from which any window can be read
at once. This example makes a tiny BIDS folder of bundled recordings, prepares it, divides it by
subject and looks at what a model will see.
"""

# %%
# Three people and two devices, written by MNE-BIDS. (With a data set of your own, begin below.)

import shlex
from pathlib import Path

import mne
from mne_bids import BIDSPath, print_dir_tree, write_raw_bids

from brainfm.cli import main
from brainfm.samples import SAMPLES

recordings = {sample.file: sample.path for sample in SAMPLES}
people = {"01": "eegmmidb_1.edf", "02": "hypyp_1.edf", "03": "eeglab_raw.fif"}

for subject, file in people.items():
    raw = mne.io.read_raw(recordings[file])
    raw.info["line_freq"] = raw.info["line_freq"] or {"01": 60, "02": 50}[subject]
    place = BIDSPath(subject=subject, task="rest", datatype="eeg", root="runs/bids")
    write_raw_bids(raw, place, allow_preload=True, format="EDF", overwrite=True, verbose="error")

print_dir_tree("runs/bids")


# %%
# One command prepares it. It can be interrupted at any moment: the same line goes on where it
# was. Every file is taken whole or not at all, and a file that cannot be what it says is named
# with the option that mends it.


def terminal(line):
    """Run a command as a terminal would."""
    return main(shlex.split(line)[1:])


terminal("brainfm prepare --bids runs/bids --out runs/corpus")

# %%
terminal("brainfm corpus info runs/corpus")

# %%
# Who may be learned from is settled before anything is trained. The manifest, ``split.json``,
# goes into every checkpoint that is trained on this corpus; people who are added later never
# move others.

terminal("brainfm corpus split runs/corpus --by subject --fractions train=0.5 validation=0.5")
terminal("brainfm corpus audit runs/corpus")

# %%
# What models see: 256 Hz, in units of a robust standard deviation per sensor type, mains hum
# gone, bad channels marked. Any window of any recording can be read:

import matplotlib.pyplot as plt
import numpy as np

from brainfm.corpus import Corpus

corpus = Corpus(Path("runs/corpus"))
figure, axes = plt.subplots(
    len(corpus.recordings), 1, figsize=(8, 7), layout="constrained", sharex=True
)
for k, info in enumerate(corpus.recordings):
    x = corpus.read(k, 20 * 256, 4 * 256)
    chosen = np.linspace(0, len(x) - 1, 6).astype(int)
    for row, channel in enumerate(chosen):
        axes[k].plot(np.arange(x.shape[1]) / 256, x[channel] - 6 * row, color="#0072B2", lw=0.7)
    axes[k].set_yticks([-6 * row for row in range(6)], np.array(corpus.sensors(k).names)[chosen])
    axes[k].set_title(f"{info.id}: {len(x)} channels", fontsize=9, loc="left")
axes[-1].set_xlabel("time (s)")
