"""One model for EEG and fMRI beside a model for each, on synthetic responses to the same pictures.

Pictures are rows of features; EEG is simulated (heads, noise, 1 s a picture), responses of voxels
are random mixtures of the features in noise. Training together must not be assumed to help: the
three runs see the same recordings, pictures and folds, and every modality is judged by itself.

    python benchmarks/several_modalities.py OUT
    python benchmarks/several_modalities.py OUT --seeds 2 --subjects 2
"""

import argparse
import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

N_PICTURES, N_FEATURES, N_VOXELS, REPEATS = 60, 8, 100, 3
EEG_SECONDS = 300.0
CHANNELS = "Fz Cz Pz Oz C3 C4 P3 P4 O1 O2 P7 P8 T7 T8 F3 F4".split()  # noqa: SIM905
ALONE = ("eeg", "fmri")


def make(folder: Path, seed: int, subjects: int, eeg_snr: float, voxel_snr: float) -> None:
    """Write synthetic EEG and voxel responses of different people to the same pictures."""
    from brainfm.simulation_config import SimulationConfig
    from brainfm.simulation_run import simulate_dataset

    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, 1])
    features = rng.standard_normal((N_PICTURES, N_FEATURES)).astype(np.float32)
    names = [f"image-{k:05d}" for k in range(N_PICTURES)]
    np.save(folder / "features.npy", features)
    (folder / "names.txt").write_text("\n".join(names) + "\n")
    cfg = SimulationConfig(
        subjects=subjects,
        duration=EEG_SECONDS,
        montage="standard_1005",
        snr=eeg_snr,
        image_components=6,
        seed=seed,
    )
    simulate_dataset(
        folder / "eeg", cfg, audio=[], images=folder / "features.npy", channels=CHANNELS
    )
    (folder / "fmri").mkdir()
    for subject in range(1, subjects + 1):
        mix = rng.standard_normal((N_FEATURES, N_VOXELS)) * N_FEATURES**-0.5
        shown = np.concatenate([rng.permutation(N_PICTURES) for _ in range(REPEATS)])
        x = voxel_snr * features[shown] @ mix + rng.standard_normal((len(shown), N_VOXELS))
        np.save(folder / f"fmri/sub-{subject:02d}_responses.npy", x.astype(np.float32))
        rows = [f"{names[k]}\t{n // N_PICTURES + 1}" for n, k in enumerate(shown.tolist())]
        table = "\n".join(["picture\tsession", *rows])
        (folder / f"fmri/sub-{subject:02d}_trials.tsv").write_text(table + "\n")


def settings(folder: Path, subjects: int, epochs: int) -> dict[str, Any]:
    """Return the preset's settings for the folder."""
    preset = Path(__file__).parents[1] / "configs/finetune_several_modalities.yaml"
    found: dict[str, Any] = yaml.safe_load(preset.read_text())
    sources = found["data"]["source"]["init_args"]["sources"]
    for name in ALONE:
        sources[name]["init_args"] |= {"root": str(folder / name), "synthetic": True}
    sources["fmri"]["init_args"]["subjects"] = [f"{k + 1:02d}" for k in range(subjects)]
    files = {"file": str(folder / "features.npy"), "names": str(folder / "names.txt")}
    found["data"]["targets"]["init_args"] = files
    found["data"]["cache"] = str(folder / "cache")
    found["trainer"] |= {"accelerator": "cpu", "max_epochs": epochs, "enable_progress_bar": False}
    return found


def of_one(given: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of the same run with one modality alone."""
    found = copy.deepcopy(given)
    for part in (found["data"]["source"], found["model"]["backbone"]):
        held = part["init_args"]["sources" if "sources" in part["init_args"] else "backbones"]
        for other in [key for key in held if key != name]:
            del held[other]
    return found


def scores(run: Path) -> dict[str, float]:
    """Return top-5 and 2-way identification of every modality of a run."""
    from brainfm.finetune.decoded_run import load_run
    from brainfm.finetune.measures import measures_of

    found = load_run(run)
    modality = found.column("modality")
    return {
        f"{name} {measure.metric.name}": measure.metric.compute(
            measure.prediction[modality == name], measure.target[modality == name]
        )
        for name in np.unique(modality).tolist()
        for measure in measures_of(found)
        if measure.metric.name in ("top-1", "2-way")
    }


def main() -> None:
    """Parse the command line, simulate, run, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--eeg-snr", type=float, default=0.0, help="dB")
    parser.add_argument("--voxel-snr", type=float, default=0.3, help="deviation of the signal")
    args = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "ignore"
    from brainfm.cli import main as command

    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(args.seeds):
        folder = (args.out / f"seed-{seed}").absolute()
        if not folder.is_dir():
            make(folder, seed, args.subjects, args.eeg_snr, args.voxel_snr)
        joint = settings(folder, args.subjects, args.epochs)
        runs = {"together": joint, **{name: of_one(joint, name) for name in ALONE}}
        for name, given in runs.items():
            config, run = folder / f"{name}.yaml", folder / "runs" / name
            config.write_text(yaml.safe_dump(given))
            if command(["finetune", "fit", "--config", str(config), "--out", str(run)]):
                raise SystemExit(1)
            rows.setdefault(name, []).append(scores(run))
    print(f"synthetic; mean and range of {args.seeds} seeds")
    for measure in rows["together"][0]:
        name = measure.split()[0]
        for run in ("together", name):
            values = [one[measure] for one in rows[run]]
            print(
                f"{measure:<14} {'trained together' if run == 'together' else 'alone':<17} "
                f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
            )


if __name__ == "__main__":
    main()
