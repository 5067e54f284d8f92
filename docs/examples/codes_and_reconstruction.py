"""
Codes, and what they keep
=========================

A tokenizer turns every window of signal into latent sources, and every frame of a source into a
few whole numbers, its *codes*. Here they are looked at, turned back into waveforms, and
compared with what went in.
"""

# %%
# Codes of a minute of EEG with closed eyes: for each of the latent sources and every quarter of a
# second a number per level; each level refines the ones before.

import matplotlib.pyplot as plt
import numpy as np

import brainfm
from brainfm.samples import SAMPLES

recordings = {sample.file: sample.path for sample in SAMPLES}
model = brainfm.from_pretrained("nano")
codes = model.tokenize(recordings["eegmmidb_2.edf"])
n_frames, n_sources, n_levels = codes.values.shape
size = model.model.tokenizer.cfg.quantizer.codebook_size
frame = codes.times[1] - codes.times[0]
rate = n_sources * n_levels * np.log2(size) / frame
print(f"{n_sources} sources x {n_levels} levels of {size} codes, {rate:,.0f} bit/s")

figure, axes = plt.subplots(n_levels, 1, figsize=(8, 6), sharex=True, layout="constrained")
for level, row in enumerate(axes):
    row.imshow(
        codes.values[:80, :, level].T, aspect="auto", cmap="viridis", interpolation="nearest",
        extent=(0, 80 * frame, n_sources, 0),
    )  # fmt: skip
    row.set_ylabel("source")
    row.set_title(f"level {level + 1}", loc="left", fontsize=9)
axes[-1].set_xlabel("time (s)")

# %%
# Back to waveforms
# -----------------
#
# :func:`brainfm.fidelity.reconstruct` sends clean pieces of a prepared recording through the codes
# and back; here MEG and EEG that ``nano`` was not trained on (an earlier stretch of the same person
# was). Drawn is the stretch whose correlation is the median of all: not the best one.

import shlex

from brainfm.cli import main
from brainfm.corpus import Corpus
from brainfm.fidelity import fidelity_of, reconstruct
from brainfm.report_reconstruction import reconstruction_figure


def terminal(line):
    """Run a command as a terminal would."""
    return main(shlex.split(line)[1:])


terminal(f"brainfm prepare {recordings['neuromag_2_raw.fif']} --out runs/corpus")
corpus = Corpus("runs/corpus")
result = reconstruct(model, corpus, 0)
rows = fidelity_of(result, "neuromag")
waveforms = reconstruction_figure(result, rows, lowpass=corpus.recordings[0].lowpass)

# %%
# Such figures depend on the recording. ``brainfm tokenizer card CHECKPOINT CORPUS --out CARD``
# measures all held-out recordings of a corpus by device, sensor type and frequency band, beside
# two baselines that have learned nothing, with intervals; the card of ``nano`` was made in this
# way.
