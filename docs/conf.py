"""Sphinx configuration: ``make docs`` writes the site to build/docs, without a network.

Pages of commands and presets are written from the commands' own ``--help`` and from the files in
``configs/`` (``_ext/``); the gallery is ``examples/``, run while the site is built, in a copy below
``build/`` so that what examples write stays out of the tree.
"""

import os
import shutil
import sys
import warnings
from pathlib import Path

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "build" / "docs-examples"

sys.path.insert(0, str(DOCS / "_ext"))

import brainfm  # noqa: E402
from brainfm.cli import ENVIRONMENT  # noqa: E402

# Examples run commands in this process; the console script would set this for them.
for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)
# Libraries speak of their own future; examples show what brainfm says.
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=FutureWarning)

shutil.rmtree(EXAMPLES, ignore_errors=True)
shutil.copytree(DOCS / "examples", EXAMPLES)

project = "brainfm"
copyright = "brainfm contributors, MIT licence"
version = release = brainfm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "command_pages",
    "figure_scraper",
    "preset_page",
]
exclude_patterns = ["_ext", "_pictures", "examples"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "brainfm"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"index": []}
html_theme_options = {
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "generated/gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "gallery_order.reading_order",
    "reset_modules": ("matplotlib", "gallery_order.without_runs"),
    "image_scrapers": ("figure_scraper", "matplotlib"),
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    # Objects at the end of a block are not printed: what is to be seen is printed or drawn.
    "capture_repr": (),
}
