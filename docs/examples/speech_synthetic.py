"""
Which sound was heard: synthetic listeners
==========================================

Everything here is **synthetic**: sounds made of noise, and people made of dipoles that answer
to them. It shows how speech decoding is set up, and that what was planted is found. It says
nothing about real brains; :doc:`/decoding_synthetic` has the full test with real spoken digits.
"""

# %%
# Sounds
# ------
#
# Twenty-four sounds of a second: noise whose loudness and colour change several times a second,
# as those of syllables do.

import shlex
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import butter, sosfilt

from brainfm.cli import main

rng = np.random.default_rng(0)
rate = 16000
Path("sounds").mkdir(exist_ok=True)
for k in range(24):
    sound = np.zeros(rate)
    for band in ((200, 600), (600, 1500), (1500, 4000)):
        noise = sosfilt(
            butter(2, band, "bandpass", fs=rate, output="sos"), rng.standard_normal(rate)
        )
        loudness = np.interp(np.arange(rate), np.linspace(0, rate, 9), rng.uniform(0, 1, 9) ** 2)
        sound += noise * loudness
    wavfile.write(f"sounds/{k:02d}.wav", rate, (8000 * sound / abs(sound).max()).astype(np.int16))

# %%
# Listeners
# ---------
#
# Four synthetic people with 12 electrodes hear them in a random order. The answer to the sound
# has a tenth of the power of everything else (-10 dB), which is far more than real brains give.


def terminal(line):
    """Run a command as a terminal would; stop where it fails."""
    status = main(shlex.split(line)[1:])
    if status:
        raise RuntimeError(f"exit status {status}: {line}")


files = " ".join(str(path) for path in sorted(Path("sounds").glob("*.wav")))
terminal(
    f"brainfm simulate --audio {files} --speech mel --subjects 4 --duration 100 --snr -10 "
    "--gap 0.5 --sfreq 128 --montage standard_1020 --channels Fz Cz Pz T7 T8 F3 F4 C3 C4 P3 P4 Oz "
    "--out runs/listeners"
)

# %%
# Decoding
# --------
#
# From the sources of ``nano``, ridge regression to the mel bands of the sound; then the sound is
# looked for whose bands are most like the prediction, among those of the test side. Sounds of
# the test side are in no training trial (``by: group``: no recorded passage is divided).

Path("speech.yaml").write_text("""
data:
  source:
    class_path: brainfm.finetune.speech_sources.SpeechRecordings
    init_args: {root: runs/listeners, layout: simulated, audio: sounds, events: {block_s: 0.0}}
  trials: {window: [0.0, 1.0], outside: drop}
  split: {by: group, folds: 2, validation: 0.2}
  targets:
    class_path: brainfm.finetune.speech_targets.SpeechTargets
    init_args: {audio: [sounds], features: {mel_bands: 8}, rate: 25.0}
  batch_size: 64
model:
  backbone:
    class_path: brainfm.finetune.pretrained.Pretrained
    init_args: {checkpoint: nano, features: sources}
  head:
    class_path: brainfm.finetune.retrieval.Retrieval
    init_args: {contrast: {time: flat}, pooling: {kind: flat}}
  adaptation: {kind: ridge}
trainer: {accelerator: cpu, enable_progress_bar: false}
""")
terminal("brainfm finetune fit --config speech.yaml --out runs/speech")

# %%
# How often the sound is among the first k of its gallery:

import matplotlib.pyplot as plt

from brainfm.finetune.predictions import Predictions, fold_path, predictions_path

ranks, sizes = [], []
for fold in (0, 1):
    found = Predictions.load(predictions_path(fold_path(Path("runs/speech"), fold), "test"))
    place = np.searchsorted(found.gallery, found.target)
    right = np.take_along_axis(found.output, place[:, None], axis=1)
    ranks += (found.output > right).sum(axis=1).tolist()
    sizes.append(len(found.gallery))
size = round(np.mean(sizes))
k = np.arange(1, size + 1)

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(k, [np.mean(np.array(ranks) < n) for n in k], "o-", color="#0072B2", label="decoder")
axes.plot(k, k / size, "k--", label="chance")
axes.set(xlabel="k", ylabel="sound among the first k", ylim=(0, 1.02))
axes.set_title(f"{len(ranks)} trials of 4 synthetic people, {size} sounds")
axes.legend()
