"""
Sensors and geometry
====================

A model has to know where each channel measures, in which direction, and what. This page shows
how positions are found, how a file is helped that does not say enough, and what is refused.
"""

# %%
# Everything MNE reads becomes a :class:`~brainfm.recordings.Recording`, whose
# :class:`~brainfm.sensors.SensorArray` holds positions in metres (head coordinates), directions,
# types and names. A Neuromag array, with its coils' directions as arrows:

import numpy as np

from brainfm.recordings import read_recording
from brainfm.report_sensors import sensor_figure
from brainfm.samples import SAMPLES

recordings = {sample.file: sample.path for sample in SAMPLES}

neuromag = read_recording(recordings["neuromag_1_raw.fif"])
figure = sensor_figure(neuromag.sensors, good=~neuromag.bads)

# %%
# A headband with four electrodes. Its file has no positions; they are placed by their names, and
# the recording says so:

muse = read_recording(recordings["muse.edf"])
for note in muse.notes:
    print(note)
headband = sensor_figure(muse.sensors, good=~muse.bads)

# %%
# Helping a file
# --------------
#
# What a file does not say, or says wrongly, goes into :class:`~brainfm.channels.ReadOptions`;
# every command that reads recordings has the same as options (``--montage``, ``--unit``,
# ``--position-unit``, ``--rename``, ``--exclude``, ``--line-freq``, ``--unplaced``). Synthetic
# noise as from an amplifier that names channels in its own way and writes microvolts:

import mne

from brainfm.channels import ReadOptions
from brainfm.recordings import recording_from_raw

rng = np.random.default_rng(0)
names = [f"A{k}" for k in range(1, 33)] + [f"B{k}" for k in range(1, 33)]
microvolts = 20 * rng.standard_normal((64, 2560)).cumsum(axis=1) / 16
info = mne.create_info(names, sfreq=256, ch_types="eeg")
raw = mne.io.RawArray(microvolts, info)

# %%
# Given as it is, it is refused in one line that says what to do:


def attempt(data, options=None):
    """Print what reading a recording comes to."""
    try:
        found = recording_from_raw(data, options)
    except ValueError as error:
        print("refused:", error)
    else:
        print(f"read: {len(found.sensors)} channels, {found.duration:.0f} s")


attempt(raw)

# %%
# With the cap's montage the positions are known, and the amplitudes are not those of a head yet:

attempt(raw, ReadOptions(montage="biosemi128"))

# %%

attempt(raw, ReadOptions(montage="biosemi128", unit="uV"))

# %%
# Any of MNE's standard montages will do, or the path of a file of electrodes:

print(", ".join(mne.channels.get_builtin_montages()))

# %%
# What is refused
# ---------------
#
# Positions that were stored in millimetres and read as metres are no head:

wrong = mne.io.read_raw(recordings["eeglab_raw.fif"], preload=True).pick("eeg")
for channel in wrong.info["chs"]:
    channel["loc"][:3] *= 1000
attempt(wrong)
attempt(wrong, ReadOptions(position_unit="mm"))

# %%
# Electrodes that nobody can place are named. They can be renamed, excluded or dropped; they
# never get a position that was made up:

renamed = mne.io.read_raw(recordings["hypyp_1.edf"], preload=True)
first, second = renamed.ch_names[:2]
renamed.rename_channels({first: "left one", second: "right one"})
attempt(renamed)
attempt(renamed, ReadOptions(rename={"left one": first, "right one": second}))
attempt(renamed, ReadOptions(unplaced="drop"))

# %%
# Whatever the order of the channels and whatever the unit, a model gives the same bytes:
# features do not depend on how a file happens to be written.

import brainfm

model = brainfm.from_pretrained("nano")
raw = mne.io.read_raw(recordings["hypyp_1.edf"], preload=True)
backwards = raw.copy().reorder_channels(raw.ch_names[::-1])
same = np.array_equal(model.encode(raw).values, model.encode(backwards).values)
print("the same features with the channels in reverse:", same)
