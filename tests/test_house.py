"""The rules of the house: who imports whom, what is shipped, what may stand in the tree."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("tokenizer", "pretrain", "finetune")
PACKAGE_FOLDERS = ("brainfm", *STAGES, "configs")
SOURCES = sorted(path for folder in PACKAGE_FOLDERS for path in (ROOT / folder).rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SLOW_OR_OPTIONAL = {
    "dask",
    "deepspeed",
    "distributed",
    "huggingface_hub",
    "joblib",
    "matplotlib",
    "mne_bids",
    "mne_lsl",
    "nilearn",
    "transformers",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def import_nodes(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def absolute_targets(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Dotted names that an absolute import may load, with what it takes from a package."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level:
        return []
    return [f"{node.module}.{alias.name}" for alias in node.names]


def touches(target: str, package: str) -> bool:
    return target == package or target.startswith(package + ".")


def test_the_library_imports_no_stage() -> None:
    guilty = []
    for path in (p for p in SOURCES if name_of(p).startswith("brainfm/")):
        for node in import_nodes(path):
            targets = absolute_targets(node)
            if isinstance(node, ast.ImportFrom) and node.level:
                targets = [f"brainfm.{node.module or ''}.{a.name}" for a in node.names]
                targets += [f"brainfm.{a.name}" for a in node.names if not node.module]
            for stage in STAGES:
                if any(touches(t, f"brainfm.{stage}") or touches(t, stage) for t in targets):
                    guilty.append(f"{name_of(path)}:{node.lineno} imports {stage}")
    assert guilty == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_the_library_by_name_itself_relatively_and_no_other_stage(
    stage: str,
) -> None:
    guilty = []
    for path in (ROOT / stage).rglob("*.py"):
        depth = len(path.relative_to(ROOT / stage).parts)
        for node in import_nodes(path):
            where = f"{name_of(path)}:{node.lineno}"
            if isinstance(node, ast.ImportFrom) and node.level > depth:
                guilty.append(f"{where} leaves the stage by a relative import")
            for target in absolute_targets(node):
                for other in STAGES:
                    if touches(target, f"brainfm.{other}") or touches(target, other):
                        guilty.append(f"{where} imports {target}")
    assert guilty == []


def module_level_imports(body: list[ast.stmt]) -> Iterator[str]:
    """Top-level packages imported when the module is, TYPE_CHECKING blocks left out."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (target.split(".")[0] for target in absolute_targets(node))
        for field in ("body", "orelse", "finalbody", "handlers"):
            yield from module_level_imports(getattr(node, field, []))


def test_slow_and_optional_packages_are_imported_where_they_are_used() -> None:
    guilty = {
        name_of(path): sorted(found)
        for path in SOURCES
        if (found := SLOW_OR_OPTIONAL & set(module_level_imports(ast.parse(path.read_text()).body)))
    }
    assert guilty == {}


@pytest.mark.parametrize(
    "statement", ["import brainfm", "import brainfm.cli", "import brainfm.samples"]
)
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    heavy = "{'torch', 'mne', 'lightning', 'scipy', 'h5py', 'pandas', 'matplotlib', 'deepspeed'}"
    code = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_every_imported_package_is_declared() -> None:
    project = PYPROJECT["project"]
    declared = {
        canonicalize_name(Requirement(line).name)
        for line in [
            *project["dependencies"],
            *(line for extra in project["optional-dependencies"].values() for line in extra),
        ]
    }
    declared |= {"lightning", "distributed"}
    distributions = packages_distributions()
    undeclared = set()
    for path in SOURCES:
        for node in import_nodes(path):
            for target in absolute_targets(node):
                top = target.split(".")[0]
                if top in sys.stdlib_module_names or top in ("brainfm", "__future__"):
                    continue
                owners = {canonicalize_name(d) for d in distributions.get(top, [top])}
                if not owners & declared:
                    undeclared.add(f"{name_of(path)}: {top}")
    assert sorted(undeclared) == []


def test_the_package_list_is_the_tree() -> None:
    settings = PYPROJECT["tool"]["setuptools"]
    expected = {}
    for init in (path for path in SOURCES if path.name == "__init__.py"):
        folder = name_of(init.parent)
        dotted = folder.replace("/", ".")
        expected[dotted if dotted.startswith("brainfm") else f"brainfm.{dotted}"] = folder
    assert sorted(settings["packages"]) == sorted(expected)
    assert settings["package-dir"] == expected
    lonely = [name_of(p) for p in SOURCES if not (p.parent / "__init__.py").exists()]
    assert lonely == [], "folders without __init__.py are not installed"


def test_no_file_is_a_drawer_for_the_rest() -> None:
    drawers = {"utils", "util", "common", "helpers", "misc"}
    found = [
        name_of(path)
        for folder in (*PACKAGE_FOLDERS, "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if path.stem in drawers or path.parent.name in drawers
    ]
    assert found == []


def test_no_file_has_more_than_300_lines() -> None:
    files = [*SOURCES, *(p for top in ("tests", "benchmarks") for p in (ROOT / top).rglob("*.py"))]
    long = {name_of(p): n for p in files if (n := len(p.read_text().splitlines())) > 300}
    assert long == {}


def test_no_handler_catches_everything_unnamed() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert found == []


def text_files() -> Iterator[Path]:
    suffixes = {".py", ".yaml", ".yml", ".toml", ".md", ".txt", ".rst", ".cfg", ".json"}
    generated = {"runs", "build", "dist", ".git"}
    for top in ROOT.iterdir():
        if top.name in generated or top.name.startswith(".venv") or top.name.endswith("_cache"):
            continue
        for path in [top, *top.rglob("*")]:
            if "__pycache__" in path.parts or ".egg-info" in str(path):
                continue
            if path.is_relative_to(ROOT / "docs" / "generated"):
                continue
            if path.is_file() and (path.suffix in suffixes or path.name in ("Makefile", "run")):
                yield path


def test_nothing_names_a_machine_or_a_registry() -> None:
    # Written in pieces so that this file does not find itself.
    folders = "|".join(("work", "root", "tmp", "home"))
    pattern = re.compile(
        rf"(?<![\w.~])/(?:{folders})/|pypi" + r"\.org|python" + "hosted|(?:extra-)?index-" + "url"
    )
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


def test_configs_are_flat_yaml_files_that_parse() -> None:
    inside = [p for p in (ROOT / "configs").iterdir() if p.name != "__pycache__"]
    assert [name_of(p) for p in inside if p.suffix not in (".yaml", ".py", ".sbatch")] == []
    assert [p.name for p in inside if p.suffix == ".py"] == ["__init__.py"]
    for path in (p for p in inside if p.suffix == ".yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict), path.name


def test_constraints_pin_every_requirement_inside_its_range() -> None:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line) for line in lines)
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines)
    assert pins["torch"] == "2.13.0"
    # Packages that bring another build of torch along, or the name that is not ours.
    assert not set(pins) & {"torchvision", "torchaudio", "timm", "lpips", "litdata", "brainfm"}
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    groups += PYPROJECT["dependency-groups"].values()
    for requirement in (Requirement(line) for group in groups for line in group):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"constraints.txt does not pin {requirement.name}"
        assert requirement.specifier.contains(pin), f"{requirement} excludes {pin}"
