"""Pages that show every preset of ``configs/``: what its comment says, and its settings."""

from pathlib import Path
from typing import Any, NamedTuple

from command_pages import write_if_changed

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

STAGES = {
    "tokenizer": ("Tokenizer", "Names for `brainfm tokenizer fit --config NAME`."),
    "pretrain": ("Pretraining", "Names for `brainfm pretrain fit --config NAME`."),
    "finetune": ("Fine-tuning", "Names for `brainfm finetune fit --config NAME`."),
    "engine": (
        "Engines",
        "What runs where: a second `--config` after one of any stage, by the whole name.",
    ),
    "other": ("Other files", "Files to copy and change."),
}
"""Heading and introduction of the presets whose file names begin so."""


class Preset(NamedTuple):
    """A file of ``configs/``: its page, its name on the command line, its comment and settings."""

    stage: str
    name: str
    language: str
    comment: str
    settings: str


def read_preset(path: Path) -> Preset:
    """Divide a file into the comment that it begins with and the rest."""
    lines = path.read_text(encoding="utf-8").splitlines()
    shebang = lines[:1] if lines[0].startswith("#!") else []
    lines = lines[len(shebang) :]
    n = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comment = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:n])
    settings = "\n".join([*shebang, *lines[n:]]).strip()
    if path.suffix != ".yaml":
        return Preset("other", path.name, "bash", comment, settings)
    stage, _, name = path.stem.partition("_")
    if stage not in STAGES:
        return Preset("other", path.name, "yaml", comment, settings)
    return Preset(stage, path.stem if stage == "engine" else name, "yaml", comment, settings)


def stage_page(stage: str, presets: list[Preset]) -> str:
    """Return the page of the presets of a stage as Markdown."""
    title, introduction = STAGES[stage]
    parts = [f"# {title}", introduction]
    for preset in presets:
        parts += [
            f"## {preset.name}",
            f"````text\n{preset.comment}\n````",
            f"````{preset.language}\n{preset.settings}\n````",
        ]
    return "\n\n".join(parts) + "\n"


def write_pages(app: Any) -> None:
    """Write all pages below ``generated/presets``."""
    folder = Path(app.srcdir) / "generated" / "presets"
    files = sorted(path for path in CONFIGS.iterdir() if path.suffix in (".yaml", ".sbatch"))
    presets = [read_preset(path) for path in files]
    for stage in STAGES:
        text = stage_page(stage, [preset for preset in presets if preset.stage == stage])
        write_if_changed(folder / f"{stage}.md", text)
    toc = "```{toctree}\n:maxdepth: 2\n\n" + "\n".join(STAGES) + "\n```"
    introduction = (
        "Settings that come with the package. A preset holds only what differs from the defaults; "
        "every setting can be given after it on the command line, and `--print_config` shows all."
    )
    write_if_changed(folder / "index.md", f"# Presets\n\n{introduction}\n\n{toc}\n")


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx looks for any."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
