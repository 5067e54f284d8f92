"""The sections of a report: each takes what it needs from a folder, or says what is not there."""

from collections.abc import Callable
from typing import Any

from brainfm.checkpoints import load_checkpoint
from brainfm.codes import TOKENIZER
from brainfm.fidelity import WindowGrid, fidelity_of, reconstruct
from brainfm.frequency_bands import BANDS
from brainfm.held_out import by_array
from brainfm.report_bands import band_correlations, band_figure
from brainfm.report_codes import (
    count_codes,
    timeline_figure,
    usage_figure,
    usage_numbers,
    usage_table,
)
from brainfm.report_features import feature_figure, read_pooled
from brainfm.report_folder import RunFolder
from brainfm.report_learning import masked_model_figure, tokenizer_figure
from brainfm.report_page import Page, html_table
from brainfm.report_reconstruction import reconstruction_figure
from brainfm.report_sensors import sensor_figure
from brainfm.report_style import label_of
from brainfm.report_summary import fidelity_numbers
from brainfm.sensors import SENSOR_TYPES

GRID = WindowGrid()
MAX_ARRAYS = 12
TIMELINE_S = 60.0

Section = Callable[[Page, RunFolder], dict[str, Any]]


def add_sensors(page: Page, run: RunFolder) -> dict[str, Any]:
    """Show where each device measures."""
    name = "Sensors"
    if run.corpus is None:
        page.leave_out(name, "there is no corpus/")
        return {}
    groups = by_array(list(run.corpus.recordings))
    for array, indices in list(groups.items())[:MAX_ARRAYS]:
        first = indices[0]
        figure = sensor_figure(run.corpus.sensors(first), run.corpus.good(first))
        info = run.corpus.recordings[first]
        caption = f"{len(indices)} recording{'s' if len(indices) > 1 else ''}; shown: {info.id}."
        if any(SENSOR_TYPES[kind].oriented for kind in info.types):
            caption += " Arrows: the direction in which a sensor measures."
        if info.bad_channels:
            caption += " Crosses: channels masked as bad."
        page.add(name, array, figure, caption)
    if len(groups) > MAX_ARRAYS:
        rest = f"{len(groups) - MAX_ARRAYS} of {len(groups)} sensor arrays"
        page.leave_out(f"{name}: {rest}", f"only {MAX_ARRAYS} are shown")
    return {}


def add_fidelity(page: Page, run: RunFolder) -> dict[str, Any]:
    """Show original against reconstruction of held-out recordings, and the bands that survive."""
    name, bands_name = "Original and reconstruction", "Fidelity by frequency band"
    shown = run.held_out()
    if run.corpus is None or run.encoder is None or not shown:
        missing = "there is no recording outside training"
        if run.encoder is None:
            missing = "there is no exported tokenizer (tokenizer-checkpoint/)"
        if run.corpus is None:
            missing = "there is no corpus/"
        page.leave_out(name, missing)
        page.leave_out(bands_name, missing)
        return {}
    numbers: list[dict[str, Any]] = []
    bands: list[dict[str, Any]] = []
    table = []
    for one in shown:
        lowpass = float(run.corpus.columns.lowpass[one.place])
        result = reconstruct(run.encoder, run.corpus, one.place, GRID)
        rows = fidelity_of(result, one.info.id)
        if not rows:
            page.leave_out(f"{name} of {one.info.id}", "no window without flagged seconds")
            continue
        numbers += fidelity_numbers(one, rows)
        for kind, values in band_correlations(result, lowpass).items():
            bands.append({"recording": one.info.id, "sensor_type": kind, "correlation": values})
            table.append((one.info.id, kind, values))
        caption = (
            f"Side {one.side or 'all'}. {one.info.device or 'Unknown device'}. Numbers: mean over "
            f"channels and {rows[0].n_windows} windows, in brackets 95 % bootstrap intervals over "
            "windows; relative error: sum of absolute errors over that of predicting zero. The "
            "excerpt is the one of median correlation, its channels are spread over the head."
        )
        page.add(name, one.info.id, reconstruction_figure(result, rows, lowpass), caption)
    if not numbers:
        return {}
    page.add(name, "All numbers", _fidelity_table(numbers))
    page.add(
        bands_name,
        "Correlation by band",
        band_figure(table),
        f"Original and reconstruction band-passed alike, correlated over runs of up to "
        f"{GRID.run} windows, mean over channels; at most {GRID.max_windows} windows of a "
        "recording, evenly spread. A dash: the recording holds nothing of the band. Chance: 0.",
    )
    return {"fidelity": numbers, "bands": bands, "band_edges_hz": dict(BANDS)}


def _fidelity_table(numbers: list[dict[str, Any]]) -> str:
    rows = [
        (
            row["side"],
            row["recording"],
            f"{row['n_channels']} {label_of(row['sensor_type'], row['n_channels'])}",
            str(row["n_windows"]),
            f"{row['correlation']:.3f}",
            "[{:.3f}, {:.3f}]".format(*row["correlation_interval"]),
            f"{row['error_ratio']:.3f}",
            "[{:.3f}, {:.3f}]".format(*row["error_interval"]),
        )
        for row in numbers
    ]
    interval = "95 % over windows"
    header = ("side", "recording", "channels", "windows", "correlation", interval)
    return html_table((*header, "relative error", interval), rows)


def add_usage(page: Page, run: RunFolder) -> dict[str, Any]:
    """Show how many codes of each level are used, and how evenly."""
    name = "Code usage"
    if run.codes is None:
        page.leave_out(name, "there is no codes/")
        return {}
    cfg = run.codes.tokenizer
    counts, n_recordings = count_codes(run.codes)
    levels = usage_numbers(counts)
    per_second = cfg.sfreq / cfg.stride * cfg.frames_per_window
    bits = per_second * cfg.n_sources * sum(level["max_bits"] for level in levels)
    caption = (
        f"{int(counts[0].sum()):,} tokens of {n_recordings} recordings (of {len(run.codes)}), all "
        f"sides. {per_second:g} frames a second x {cfg.n_sources} sources."
    )
    page.add(name, "How often each code occurs", usage_figure(counts), caption)
    page.add(name, "Levels", usage_table(levels, counts.shape[1]))
    tokens = int(counts[0].sum())
    return {"codes": {"bits_per_second": bits, "n_tokens": tokens, "levels": levels}}


def add_learning(page: Page, run: RunFolder) -> dict[str, Any]:
    """Show the curves of both stages."""
    name = "Learning curves"
    log = run.log("tokenizer")
    if log is None:
        page.leave_out(f"{name} of the tokenizer", "tokenizer/ has no log of training")
    else:
        page.add(
            name,
            "Tokenizer",
            tokenizer_figure(log),
            "In training a share of the channels is hidden from the encoder, in validation none; "
            "a point of training is one batch of one kind of sensor array.",
        )
    log = run.log("pretrain")
    if log is None or not log.levels("validation/loss"):
        page.leave_out(f"{name} of the masked model", "pretrain/ has no log of a validation")
    else:
        page.add(
            name,
            "Masked model",
            masked_model_figure(log, run.exported_step),
            "The unigram knows how often each code occurs in training and nothing else. Bars: the "
            "last validation up to the exported checkpoint (of the run, where none is exported).",
        )
    return {}


def add_timeline(page: Page, run: RunFolder) -> dict[str, Any]:
    """Show which code is on when, for one recording of each device."""
    name = "Codes over time"
    if run.codes is None:
        page.leave_out(name, "there is no codes/")
        return {}
    model = load_checkpoint(run.codes.path / TOKENIZER)
    codebooks = model.tokenizer.quantizer.codebooks.numpy()
    held_out = {one.info.id: one.side for one in run.held_out()}
    groups = by_array(run.codes.recordings)
    for array, indices in list(groups.items())[:MAX_ARRAYS]:
        first = next((i for i in indices if run.codes.recordings[i].id in held_out), indices[0])
        recording = run.codes.recordings[first].id
        side = held_out.get(recording, "train" if run.split else "all")
        page.add(
            name,
            array,
            timeline_figure(run.codes, first, codebooks, TIMELINE_S),
            f"{recording} (side {side}). Codes of similar vectors have similar colours. Level 2 "
            "refines level 1.",
        )
    return {}


def add_features(page: Page, run: RunFolder) -> dict[str, Any]:
    """Show the features of the encoded recording."""
    name = "Features"
    if not run.has("features.h5"):
        page.leave_out(name, "there is no features.h5")
        return {}
    features = read_pooled(run.path / "features.h5")
    what = f"{features.source or 'features.h5'}{', first epoch' if features.epochs else ''}"
    shape = " x ".join(map(str, features.shape))
    axes = "epochs x frames x sources x width" if features.epochs else "frames x sources x width"
    page.add(
        name,
        what,
        feature_figure(features),
        f"features.h5 holds {shape} ({axes}); here the mean over sources of the first "
        f"{len(features.times)} frames.",
    )
    return {"features": {"source": features.source, "shape": list(features.shape)}}


SECTIONS: tuple[Section, ...] = (
    add_sensors,
    add_fidelity,
    add_usage,
    add_learning,
    add_timeline,
    add_features,
)
"""All of them, in the order of the page; each returns its numbers."""
