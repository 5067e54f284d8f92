"""The wheel: what is in it, and that it is enough to encode a recording without a network."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE_FOLDERS = ("brainfm", "tokenizer", "pretrain", "finetune", "configs")

LOAD_NANO = """
import sys
from pathlib import Path
import brainfm
assert Path(brainfm.__file__).is_relative_to(sys.argv[1]), brainfm.__file__
from brainfm.samples import sample_paths
features = brainfm.from_pretrained("nano").encode(sample_paths()[-1])
assert abs(features.values).max() > 0
"""
"""Run where the wheel is unpacked: the bundled model is there and encodes a bundled recording."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of the tree as it is."""
    pytest.importorskip("setuptools", reason="the wheel is built without isolation")
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in (*PACKAGE_FOLDERS, "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", ROOT / name, copy / name], check=True)
    for cache in copy.rglob("__pycache__"):
        subprocess.run(["rm", "-rf", cache], check=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    done = subprocess.run([*command, copy], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    tops = {name.split("/")[0] for name in sizes}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"brainfm", info}
    shipped = {name for name in sizes if name.startswith("brainfm/")}
    paths = [path for folder in PACKAGE_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    names = [path.relative_to(ROOT).as_posix() for path in paths]
    modules = {name if name.startswith("brainfm/") else f"brainfm/{name}" for name in names}
    assert {name for name in shipped if name.endswith(".py")} == modules
    data = {name for name in shipped if not name.endswith(".py")}
    allowed = re.compile(
        r"brainfm/(py\.typed|small_image_networks\.safetensors|configs/\w+\.yaml|"
        r"nano/(config\.json|model\.safetensors|README\.md|split-[0-9a-f]{16}\.json)|"
        r"samples/(\w+\.(fif|edf)|README\.md|catalogue\.yaml|LICENSE\w+\.txt))"
    )
    assert [name for name in sorted(data) if not allowed.fullmatch(name)] == []
    presets = {f"brainfm/configs/{p.name}" for p in (ROOT / "configs").glob("*.yaml")}
    samples = ROOT / "brainfm" / "samples"
    bundled = {f"brainfm/samples/{p.name}" for p in samples.iterdir() if p.is_file()}
    own = {"brainfm/py.typed", "brainfm/small_image_networks.safetensors"}
    nano = {f"brainfm/nano/{p.name}" for p in (ROOT / "brainfm" / "nano").iterdir()}
    assert data == own | presets | nano | (bundled - modules)
    assert sum(sizes[name] for name in nano) <= 8_000_000
    assert sum(sizes[name] for name in data - nano) <= 9_000_000
    assert sum(sizes[name] for name in shipped - data) <= 3_000_000


@pytest.mark.slow
def test_the_wheel_alone_encodes_with_the_bundled_model(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_NANO, installed],
        env={**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert loaded.returncode == 0, loaded.stderr
