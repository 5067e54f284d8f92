"""Draw ``docs/_static/overview.png``: sensors, codes and reconstruction of real MEG and EEG.

python docs/_pictures/overview.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import brainfm
from brainfm.cli import main
from brainfm.corpus import Corpus
from brainfm.encoder import Encoder
from brainfm.fidelity import Reconstructed, fidelity_of, reconstruct_pieces
from brainfm.report_reconstruction import spread_channels
from brainfm.report_sensors import fit_head, unroll
from brainfm.report_style import TYPE_COLOURS, house_style, label_of
from brainfm.samples import SAMPLES

OUT = Path(__file__).resolve().parents[1] / "_static" / "overview.png"
KINDS = ("eeg", "mag", "planar")
FROM, SECONDS = 4, 6
N_TRACES = 3


def draw_sensors(axes: Axes, result: Reconstructed) -> None:
    """Draw the array from above, unrolled."""
    flat = unroll(result.sensors.positions, fit_head(result.sensors))
    for kind, size in zip(KINDS, (22, 14, 5), strict=True):
        chosen = result.sensors.types == kind
        axes.scatter(*flat[chosen].T, s=size, color=TYPE_COLOURS[kind], lw=0)
    axes.set(aspect="equal", title="1. any array of sensors")
    axes.axis("off")


def draw_codes(axes: Axes, codes: np.ndarray) -> None:
    """Draw the codes of the first two levels (P, N, Q)."""
    rows = np.concatenate([codes[:, :, 0].T, codes[:, :, 1].T])
    axes.imshow(rows, aspect="auto", cmap="viridis", extent=(0, SECONDS, len(rows), 0))
    axes.axhline(codes.shape[1], color="w", lw=1.5)
    axes.set(
        title=f"2. {codes.shape[1]} sources as codes, two of {codes.shape[2]} levels",
        xlabel="time (s)",
        yticks=[codes.shape[1] / 2, 1.5 * codes.shape[1]],
        yticklabels=["level 1", "level 2"],
    )


def draw_waveforms(axes: Axes, result: Reconstructed) -> None:
    """Draw waveforms before and after the codes, the sensors far from each other."""
    rows = {row.sensor_type: row for row in fidelity_of(result, "overview")}
    x, y, place = result.original[0], result.reconstruction[0], 0.0
    time = np.arange(x.shape[1]) / result.sfreq
    for kind in KINDS:
        chosen = np.flatnonzero(result.sensors.types == kind)
        for channel in chosen[spread_channels(result.sensors.positions[chosen], N_TRACES)]:
            axes.plot(time, x[channel] - place, color="#444444", lw=0.6)
            axes.plot(time, y[channel] - place, color=TYPE_COLOURS[kind], lw=1.1)
            place += 6.0
        text = f"{rows[kind].n_channels} {label_of(kind, 2)}\nr = {rows[kind].correlation:.2f}"
        axes.annotate(
            text, (1.01, 9.0 - place), xycoords=("axes fraction", "data"), color=TYPE_COLOURS[kind]
        )
    axes.set(
        title="3. waveforms from the codes (grey: the recording)", xlabel="time (s)", yticks=[]
    )
    axes.spines["left"].set_visible(False)


def prepared(folder: str) -> Corpus:
    """Prepare the held-out Neuromag sample."""
    path = {sample.file: sample.path for sample in SAMPLES}["neuromag_2_raw.fif"]
    if main(["prepare", str(path), "--out", folder]):
        raise SystemExit(1)
    return Corpus(folder)


def draw(model: Encoder) -> None:
    """Write the picture."""
    with TemporaryDirectory() as folder:
        corpus = prepared(folder)
        n_windows = round(SECONDS * 256 / model.model.tokenizer.cfg.window)
        result = reconstruct_pieces(model, corpus, 0, [(round(FROM * 256), n_windows)])
        codes = result.codes[0].transpose(1, 0, 2)
        with house_style():
            figure = plt.figure(figsize=(13, 4.2), layout="constrained")
            grid = figure.add_gridspec(1, 3, width_ratios=[0.8, 1, 1.6])
            draw_sensors(figure.add_subplot(grid[0]), result)
            draw_codes(figure.add_subplot(grid[1]), codes)
            draw_waveforms(figure.add_subplot(grid[2]), result)
            figure.savefig(OUT, dpi=110)
    print(f"{OUT.name}: {OUT.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    draw(brainfm.from_pretrained("nano"))
