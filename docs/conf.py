"""How the site is made of these pages: `sphinx-build -W -n docs docs/_build`, without network."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import reference

project = "hasim"
author = "The hasim developers"
copyright = "The hasim developers"
version = release = installed("hasim")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 4  # [text](page.md#a-heading), as on GitHub
highlight_language = "none"  # a block without a language is what a terminal shows
nitpicky = True
# Types in signatures name classes of Python and other packages, which have no page here.
nitpick_ignore_regex = [("py:.*", ".*")]

# Docstrings: code stands between single backquotes; members come in the order of the source.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "hasim"
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(_mathml(node.astext(), "inline"))
    raise _skip()


def _display(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{_mathml(node.astext(), "block")}</div>\n')
    raise _skip()


def _mathml(formula: str, display: str) -> str:
    """Formulas as MathML, which browsers draw by themselves: nothing is fetched."""
    from latex2mathml.converter import convert

    return convert(formula, display=display)


def _skip() -> Exception:
    from docutils.nodes import SkipNode

    return SkipNode()


def setup(app: Any) -> None:
    """The pages that are written by program, and formulas without a script."""
    reference.write()
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
