"""What an exported graph and weights of 8 bits cost: bytes, time, features, codes, decisions.

Each variant is compared with the checkpoint in PyTorch on the bundled recordings: share of codes
that differ, cosine of features with its own (mean and least), CPU time of the graph alone (one
thread, best of ``--repeats``). Decisions: a logistic regression that was trained on features of
PyTorch is given those of the variant, groups left out - eyes open or closed, stretches of the
bundled recordings; with ``--data``, SSVEP of six people, a person left out.

``int8`` is ``brainfm export --int8``: weights of the masked model. Two others say why it is that:
``int8, tokenizer too`` stores all linear layers in 8 bits; ``dynamic`` is onnxruntime's dynamic
quantization, which rounds signals too.

    python benchmarks/export.py nano --data data
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from feature_probe import TRIAL_S, Trial, pooled, read_raw, ssvep_trials
from quality_corpus import SSVEP

import brainfm
from brainfm.exported import ExportedModel
from brainfm.exported_file import write_graph
from brainfm.exported_graph import EncoderGraph, example_inputs
from brainfm.onnx_weights import store_in_int8
from brainfm.recordings import ReadOptions
from brainfm.samples import sample_paths

RECORDINGS = ("neuromag_2_raw.fif", "eegmmidb_2.edf", "eeglab_raw.fif", "muse.edf")
PIECE_S, STRETCHES = 4.0, 4
LAYER = -2


def write_variants(encoder: Any, folder: Path) -> dict[str, Path]:
    """Export once and return the files of all variants."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = EncoderGraph(encoder.model, LAYER).eval()
    files = {"float32": folder / "float32.onnx"}
    write_graph(graph, graph.example(), graph.record, files["float32"])
    for name, settings in (("int8", {}), ("int8, tokenizer too", {"kept": None})):
        proto = onnx.load(files["float32"])
        store_in_int8(proto, graph, **settings)
        files[name] = folder / f"{name}.onnx"
        files[name].write_bytes(proto.SerializeToString())
    files["dynamic"] = folder / "dynamic.onnx"
    logging.disable(logging.WARNING)
    quantize_dynamic(
        files["float32"], files["dynamic"], weight_type=QuantType.QInt8, per_channel=True
    )
    return files


def best_time(function: Callable[[], Any], repeats: int) -> float:
    """Return the shortest CPU time of a call, s."""
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        function()
        found.append(time.process_time() - begin)
    return min(found)


def stretch_time(run: Callable[..., Any], n_times: int, repeats: int) -> float:
    """Return the shortest CPU time, s, for so many prepared samples of 64 channels."""
    inputs = example_inputs(n_times, n_batch=1, n_channels=64)
    run(*inputs)
    return best_time(lambda: run(*inputs), repeats)


def bundled_trials() -> Iterator[Trial]:
    """Yield pieces of the bundled recordings with eyes open and closed, stretches as groups."""
    paths = {Path(path).name: Path(path) for path in sample_paths()}
    for name, label in (("eegmmidb_1.edf", "open"), ("eegmmidb_2.edf", "closed")):
        n = int(read_raw(paths[name]).times[-1] // PIECE_S)
        for k in range(n):
            yield paths[name], k * PIECE_S, (k + 1) * PIECE_S, label, f"{k * STRETCHES // n}"


def decisions(trials: list[Trial], models: dict[str, Any], options: Any) -> dict[str, np.ndarray]:
    """Return which decisions are right (trials,), by variant; learned from PyTorch's features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features: dict[str, np.ndarray] = {}
    raws = {path: read_raw(path) for path in dict.fromkeys(trial[0] for trial in trials)}
    for name, model in models.items():
        found = {path: model.encode(raw, options) for path, raw in raws.items()}
        rows = [pooled(found[t[0]].values, found[t[0]].times, t[1], t[2]) for t in trials]
        features[name] = np.stack(rows)
    y, groups = np.array([t[3] for t in trials]), np.array([t[4] for t in trials])
    right = {name: np.zeros(len(trials)) for name in models}
    for group in np.unique(groups):
        test = groups == group
        decide = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        decide.fit(features["PyTorch"][~test], y[~test])
        for name in models:
            right[name][test] = decide.predict(features[name][test]) == y[test]
    return right


def lost(right: np.ndarray, reference: np.ndarray) -> str:
    """Return the accuracy and what it lost, points with a bootstrap interval over trials."""
    rng = np.random.default_rng(0)
    away = reference - right
    draws = away[rng.integers(0, len(away), (4000, len(away)))].mean(axis=1)
    low, high = 100 * np.quantile(draws, [0.025, 0.975])
    return f"{right.mean():.3f} | {100 * away.mean():.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("checkpoint", nargs="?", default="nano")
    parser.add_argument("--data", type=Path, help="Folder with the SSVEP recordings.")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    encoder = brainfm.from_pretrained(args.checkpoint)
    paths = {Path(path).name: Path(path) for path in sample_paths()}
    with TemporaryDirectory() as folder:
        files = write_variants(encoder, Path(folder))
        models: dict[str, Any] = {"PyTorch": encoder}
        models |= {name: ExportedModel(file, threads=1) for name, file in files.items()}
        sizes = {name: file.stat().st_size / 1e6 for name, file in files.items()}
    record = models["float32"].record
    graph = EncoderGraph(encoder.model, LAYER).eval()
    samples = record.context * record.tokenizer.hop
    seconds = samples / record.tokenizer.sfreq
    print(
        "\n| variant | MB | CPU ms for 10 s of 64 channels | codes that differ, % by level |",
        end="",
    )
    print(" cosine of features, mean | least |\n|---|---|---|---|---|---|")
    inputs: dict[str, Callable[..., Any]] = {"PyTorch": torch.inference_mode()(graph)}
    for name in files:
        inputs[name] = runner(models[name])
    truth = [encoder.encode(paths[name]) for name in RECORDINGS]
    codes = [encoder.tokenize(paths[name]).values for name in RECORDINGS]
    for name, model in models.items():
        speed = 1e4 / seconds * stretch_time(inputs[name], samples, args.repeats)
        found = [model.encode(paths[file]).values for file in RECORDINGS]
        coded = [model.tokenize(paths[file]).values for file in RECORDINGS]
        pairs = list(zip(coded, codes, strict=True))
        changed = 100 * np.mean([(a != b).mean(axis=(0, 1)) for a, b in pairs], axis=0)
        cosine = np.concatenate(
            [(a * b.values).sum(-1).ravel() for a, b in zip(found, truth, strict=True)]
        )
        size = f"{sizes[name]:.2f}" if name in sizes else "-"
        levels = ", ".join(f"{share:.2f}" for share in changed)
        print(
            f"| {name} | {size} | {speed:.1f} | {levels} | {cosine.mean():.5f} | "
            f"{cosine.min():.4f} |",
            flush=True,
        )
    eyes = f"eyes open or closed, bundled, pieces of {PIECE_S:g} s"
    tasks = {eyes: (list(bundled_trials()), ReadOptions(line_freq=60))}
    if args.data:
        name = f"SSVEP, four classes, {TRIAL_S[1] - TRIAL_S[0]:g} s, people left out"
        ssvep = ReadOptions(unit=SSVEP["unit"], position_unit=SSVEP["position_unit"], line_freq=50)
        tasks[name] = ssvep_trials(args.data), ssvep
    for task, (trials, options) in tasks.items():
        right = decisions(trials, models, options)
        print(f"\n{task}, {len(trials)} trials\n\n| variant | accuracy | lost, points |")
        print("|---|---|---|")
        for name, found in right.items():
            print(f"| {name} | {lost(found, right['PyTorch'])} |", flush=True)


def runner(model: ExportedModel) -> Callable[..., Any]:
    """Return the graph alone as a function of tensors."""
    names = [node.name for node in model.session.get_inputs()]

    def run(*inputs: torch.Tensor) -> Any:
        feed = dict(zip(names, (x.numpy() for x in inputs), strict=True))
        return model.session.run(None, feed)

    return run


if __name__ == "__main__":
    main()
