"""
Install, and first features in five lines
=========================================

From a checkout, ``make install`` makes an environment with the tested versions; into an
environment of your own, ``pip install .`` is enough. Nothing below needs a network: the package
brings a small trained model, ``nano``, and a few short real recordings.
"""

# %%
# The five lines. ``raw`` may be anything MNE reads; here it is a minute of 64-channel EEG of a
# person who rests with open eyes (PhysioNet eegmmidb).

import mne

import brainfm
from brainfm.samples import SAMPLES

recordings = {sample.file: sample.path for sample in SAMPLES}

raw = mne.io.read_raw(recordings["eegmmidb_1.edf"], verbose="error")
model = brainfm.from_pretrained("nano")
features = model.encode(raw)
codes = model.tokenize(raw)

print("features", features.values.shape, "frames x sources x width")
print("codes   ", codes.values.shape, "frames x sources x levels")
print(f"a frame every {features.times[1] - features.times[0]:.4f} s")

# %%
# Channel names have dots in this file (``Fc5.``) and no positions; both are understood. A device
# with another number of sensors gives features of the same shape, because sensors become a fixed
# number of latent *sources* first. MEG and EEG together:

meg = model.encode(recordings["neuromag_1_raw.fif"])
print(f"{meg.values.shape} from 306 MEG and 60 EEG channels, {meg.times[-1]:.0f} s")

# %%
# A list, as in ``model.encode([raw, "other.edf", "meg.fif"])``, gives a list: its recordings share
# calls of the network whatever they were recorded with (on a CPU that is no faster than one after
# another), and an error says which one it is about.
#
# What features say can be looked at without labels. How much each feature changes within two
# seconds, for a minute with open eyes and a minute with closed eyes of the same person, on the
# two directions in which these numbers differ most (principal components, which know nothing of
# eyes):

import matplotlib.pyplot as plt
import numpy as np

closed = model.encode(recordings["eegmmidb_2.edf"])


def changes(values):
    """Return the deviation of every feature over 8 frames, (n, sources * width)."""
    n = len(values) // 8
    return values[: n * 8].reshape(n, 8, -1).std(axis=1)


found = np.concatenate([changes(features.values), changes(closed.values)])
u, s, _ = np.linalg.svd(found - found.mean(axis=0), full_matrices=False)
first, second = (u * s).T[:2]
n_open = len(changes(features.values))

figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
axes.plot(first[:n_open], second[:n_open], "o", color="#0072B2", label="eyes open")
axes.plot(first[n_open:], second[n_open:], "o", color="#D55E00", label="eyes closed")
axes.set(xlabel="first component", ylabel="second component", title="two minutes of EEG, every 2 s")
axes.legend()

# %%
# The same from a terminal, into an HDF5 file:
#
# .. code-block:: bash
#
#     brainfm encode nano recording.edf --out features.h5
#
# Where to go next: :ref:`sphx_glr_generated_gallery_sensors_and_geometry.py` if a file is
# refused, :ref:`sphx_glr_generated_gallery_finetune_own_labels.py` if you have labels.
