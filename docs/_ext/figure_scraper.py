"""What the gallery keeps of examples: pictures of brainfm's functions, no paths of a machine."""

from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst


def scrape_figures(block: Any, variables: dict[str, Any], settings: dict[str, Any]) -> str:
    """Save the figures that a block made without pyplot, as functions of brainfm do.

    Every figure is marked when it is first seen, so that it is in the gallery once.
    """
    from matplotlib.figure import Figure
    from matplotlib.pyplot import figure as pyplot_figure
    from matplotlib.pyplot import get_fignums

    of_pyplot = {id(pyplot_figure(number)) for number in get_fignums()}
    paths = []
    for value in list(variables["example_globals"].values()):
        if not isinstance(value, Figure) or hasattr(value, "_in_gallery"):
            continue
        value._in_gallery = True
        if id(value) not in of_pyplot:
            path = next(variables["image_path_iterator"])
            value.savefig(path, dpi=110)
            paths.append(path)
    return figure_rst(paths, settings["src_dir"]) if paths else ""


def without_machine_paths(app: Any) -> None:
    """Write paths that examples printed as a reader would see them, below the current folder."""
    examples = str(app.config.sphinx_gallery_conf["examples_dirs"])
    for page in (Path(app.srcdir) / "generated" / "gallery").glob("*.rst"):
        text = page.read_text(encoding="utf-8")
        if examples in text:
            page.write_text(text.replace(f"{examples}/", ""), encoding="utf-8")


def _get_sg_image_scraper() -> Any:
    """Return the scraper; the gallery asks a module that is named in its settings for it."""
    return scrape_figures


def setup(app: Any) -> dict[str, Any]:
    """Clean the pages once the gallery has written them."""
    app.connect("builder-inited", without_machine_paths, priority=900)
    return {"parallel_read_safe": True}
