"""Sphinx configuration; `docs/generate.py` writes the generated pages first."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import aspot

project = "aspot"
copyright = "2026, the aspot authors"
version = release = aspot.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "aspot"
exclude_patterns = ["_build", "_generated/*.md", "*.ipynb"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = True
nitpick_ignore_regex = [("py:.*", r".*")]  # types in docstrings are words for people, not links
