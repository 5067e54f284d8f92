"""
Codes and features while a recording is going on
================================================

A stream takes blocks of samples and gives back what they complete, with bounded latency and
memory. Here a bundled recording is played as if it were being made; what goes wrong on the way
is put in on purpose and reported by the stream.
"""

# %%
# From a terminal it is one line; ``--lsl NAME`` instead of ``--file`` listens to a device:
#
# .. code-block:: bash
#
#     brainfm stream nano --file recording.edf --speed 10
#
# In Python, blocks may come from anywhere. This source loses half a second, and one electrode
# falls silent after 40 s:

import time

import numpy as np

import brainfm
from brainfm.recordings import read_recording
from brainfm.samples import SAMPLES
from brainfm.stream import BrainStream, StreamConfig
from brainfm.stream_sources import played

recordings = {sample.file: sample.path for sample in SAMPLES}
recording = read_recording(recordings["eegmmidb_2.edf"])
model = brainfm.from_pretrained("nano")


def troubled(blocks):
    """Yield blocks of a recording, some of which never arrive."""
    for block in blocks:
        if 30 <= block.time < 30.5:
            continue
        if block.time >= 40:
            block.values[recording.sensors.names.index("Cz..")] = 0.0
        yield block


stream = BrainStream(model, recording.sensors, recording.sfreq, StreamConfig(calibration_s=10))
outputs, seconds = [], []
for block in troubled(played(recording, block_s=0.08, speed=None)):
    began = time.perf_counter()
    outputs += stream.push(block)
    seconds.append(time.perf_counter() - began)
outputs += stream.finish()

# %%
# What happened to the signal:

for output in outputs:
    for event in output.events:
        print(f"{event.time:6.2f} s  {event.kind}: {event.text}")
told = {key: value for key, value in vars(stream.report).items() if value}
print(told)

# %%
# The first ten seconds calibrate channels and scale and are encoded at once; after that a block
# of 80 ms is answered within milliseconds most of the time, and within some more when it
# completes a window. Times depend on the machine; the line is real time.

import matplotlib.pyplot as plt

codes = np.concatenate([output.codes for output in outputs])
times = np.concatenate([output.times for output in outputs])

figure, (top, bottom) = plt.subplots(2, 1, figsize=(8, 5.2), layout="constrained", sharex=True)
top.scatter(
    np.repeat(times, codes.shape[1]), np.tile(np.arange(codes.shape[1]), len(times)),
    c=codes[:, :, 0], s=4, cmap="viridis", marker="s",
)  # fmt: skip
top.axvspan(30, 30.5, color="#D55E00", alpha=0.4, label="samples lost, bridged")
top.axvline(40, color="k", lw=1, label="an electrode falls silent")
top.set(ylabel="source", title="codes of level 1, as they came")
top.legend(loc="upper left", framealpha=0.9)
bottom.semilogy(0.08 * np.arange(len(seconds)), 1000 * np.array(seconds), ".", ms=3)
bottom.axhline(80, color="#D55E00", label="length of a block")
bottom.set(xlabel="time (s)", ylabel="work for a block (ms)")
bottom.legend(loc="upper left")

# %%
# Filters of a stream only look back, so that its codes are not those of ``model.tokenize``,
# whose filters also look ahead; see :doc:`/streaming` for what is equal to what. How the stream
# is cut into blocks makes no difference once it is calibrated:


def codes_of(block_s):
    """Return the codes of the whole recording, played in blocks of so many seconds."""
    one = BrainStream(
        model, recording.sensors, recording.sfreq, StreamConfig(layer=None),
        calibration=stream.calibration,
    )  # fmt: skip
    found = list(one.run(played(recording, block_s=block_s, speed=None)))
    return np.concatenate([output.codes for output in found])


print("blocks of 80 ms and of 1 s give the same codes:",
      np.array_equal(codes_of(0.08), codes_of(1.0)))  # fmt: skip
