"""Every control that trains nothing, and two baselines, beside a run of every kind of head.

The controls that are trained are the run's own command (``test_run_controls.py``).
"""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from brainfm.finetune.run_controls import UNTRAINED, make_beside

from brainfm.checkpoints import save_checkpoint
from brainfm.cli import main
from brainfm.drawn_pictures import draw_pictures

pytestmark = pytest.mark.slow

N_PICTURES = 8
TARGETS = """
import numpy as np
from brainfm.finetune.targets import Targets, TargetSource


class Amounts(TargetSource):
    def make(self, trials):
        n = len(trials)
        values = np.random.default_rng(0).standard_normal((n, 2)).astype(np.float32)
        names = np.array([f"trial {k}" for k in range(n)])
        return Targets(ids=names, rows=np.arange(n), values=values, units=("a", "b"))


class Attended(TargetSource):
    def make(self, trials):
        ids, rows = np.unique([t.stimulus for t in trials.rows], return_inverse=True)
        values = np.random.default_rng(0).standard_normal((len(ids), 4)).astype(np.float32)
        rivals = ((rows + 1) % len(ids))[:, None]
        return Targets(ids=ids, rows=rows, values=values, rivals=rivals)
"""
IMAGES = "brainfm.finetune.image_targets.ImageTargets"
KINDS = {
    "classes": (None, "classification.Classification", {}),
    "words": (IMAGES, "word_windows.WordWindows", {"transformer": {"width": 8, "depth": 1}}),
    "attended": ("planted_targets.Attended", "retrieval.Retrieval", {}),
    "values": ("planted_targets.Amounts", "regression.Regression", {}),
    "texts": ("brainfm.finetune.text_targets.TextTargets", "ctc.CTC", {"ctc": {"upsampling": 4}}),
}
NOT_FOR = {
    "attended": {"prior_only": "at chance by construction"},
    "texts": {"band_power": "make no text", "code_histogram": "make no text"},
}
"""What a kind has not, and a part of why."""


@pytest.fixture(scope="module")
def home(planted_files, tiny_model, tmp_path_factory):
    """Return a folder with recordings, pictures, events and a checkpoint, all named relatively."""
    from PIL import Image

    home = tmp_path_factory.mktemp("home")
    planted_files(home / "data", runs=1, trials=2 * N_PICTURES)
    (home / "pictures").mkdir()
    drawn, _ = draw_pictures(N_PICTURES, generator=torch.Generator().manual_seed(0))
    for k, picture in enumerate(drawn.permute(0, 2, 3, 1).numpy()):
        Image.fromarray((255 * picture).astype(np.uint8)).save(home / "pictures" / f"{k}.png")
    for path in sorted((home / "data").glob("*_raw.fif")):
        lines = ["onset\tduration\ttrial_type\tpicture\tsentence"]
        shown = np.random.default_rng(len(lines)).permutation(2 * N_PICTURES) % N_PICTURES
        for k, c in enumerate(shown.tolist()):
            name = ("left", "right")[c % 2]
            lines.append(f"{2 * k + 1}\t1\t{name}\t{c}.png\t{c // 2}")
        (home / "data" / f"{path.stem.removesuffix('_raw')}.tsv").write_text("\n".join(lines))
    save_checkpoint(tiny_model(), home / "checkpoint")
    (home / "planted_targets.py").write_text(TARGETS)
    return home


def settings_of(kind):
    targets, head, arguments = KINDS[kind]
    events = {"kind": "table", "file": "{folder}/{stem}.tsv", "stimulus": "picture"}
    events |= {"stimulus_folder": "pictures", "group": "sentence" if kind == "words" else ""}
    source = {"root": "data", "files": ["*_raw.fif"], "dataset": "synthetic", "events": events}
    data = {
        "source": {
            "class_path": "brainfm.finetune.recording_sources.Files",
            "init_args": source,
        },
        "trials": {"window": [0.0, 1.0]},
        "split": {"by": "subject"},
        "batch_size": 8,
        "keep_passages": kind == "words",
        "cache": "cache",
    }
    if targets:
        given = {"images": ["pictures"]} if targets == IMAGES else {}
        data["targets"] = {"class_path": targets, "init_args": given}
    backbone = {"checkpoint": "checkpoint", "features": "latents"}
    return {
        "data": data,
        "model": {
            "backbone": {
                "class_path": "brainfm.finetune.pretrained.Pretrained",
                "init_args": backbone,
            },
            "head": {"class_path": f"brainfm.finetune.{head}", "init_args": arguments},
            "adaptation": {"kind": "frozen"},
        },
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_judged_from_any_folder(home, kind, tmp_path, monkeypatch, capsys):
    config = home / f"{kind}.yaml"
    config.write_text(yaml.safe_dump(settings_of(kind)))
    with contextlib.chdir(home):
        assert main(["finetune", "fit", "--config", config.name, "--out", f"runs/{kind}"]) == 0
    run = home / "runs" / kind
    monkeypatch.chdir(tmp_path)
    baselines = ("band_power", "code_histogram")
    controls, others = make_beside(run, UNTRAINED, baselines)
    left = {**controls.inapplicable, **others.missing, **others.inapplicable}
    left |= {name: why for name, why in controls.missing.items() if name in UNTRAINED}
    assert set(left) == set(NOT_FOR.get(kind, ()))
    for name, why in NOT_FOR.get(kind, {}).items():
        assert why in left[name]
    trained = ["noise"] if kind == "classes" else []
    words = ["--controls", *UNTRAINED, *trained, "--baselines", *baselines]
    words += ["--permutations", "20", "--resamples", "20"]
    words += ["--occlusion-trials", "6" if trained else "0"]
    assert main(["evaluate", str(run), *words]) == 0
    found = json.loads((run / "evaluation" / "evaluation.json").read_text())
    compared = {*found["controls"], *found["baselines"]}
    assert compared == {*UNTRAINED, *trained, *baselines} - set(left)
    assert found["not_compared"].keys() >= set(left)
    page = (run / "evaluation" / "report.html").read_text()
    assert ("Shown and retrieved" in page) == (kind == "words")
    # Weights of the decoder are found from here as well.
    assert bool(found["sensor_maps"]) == bool(trained)
    if trained:
        assert main(["finetune", "test", "--run", str(run), "--data.fold", "0"]) == 0
    assert not list(Path(tmp_path).iterdir())
