"""What installs, demonstrates and tests brainfm is what runs before a change is taken."""

import re

import pytest
from shown_commands import documented


@pytest.mark.parametrize(
    "name",
    ["README.md: make demo", "README.md: make test", "docs/install.md: make install"],
)
def test_targets_run_before_a_change_is_taken(root, name):
    """Every target installs first what is missing."""
    (target,) = documented(name)
    done = (root / ".ci" / "run").read_text() + (root / "Makefile").read_text()
    told = f"^{target}: \\$\\(STAMP\\)" if target == "install" else f"make [^\n]*{target}"
    assert re.search(told, done, re.MULTILINE)
