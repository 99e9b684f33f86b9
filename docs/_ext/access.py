"""What the theme's pages lack for those who hear them, or move by keyboard."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def _on_page(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _document: nodes.document | None
) -> None:
    # Captions of the navigation are headings without a level; code that is wider than the screen has no focus.
    for name, lacking, mended in (
        ("furo_navigation_tree", 'role="heading"', 'role="heading" aria-level="2"'),
        ("body", '<div class="highlight"><pre>', '<div class="highlight"><pre tabindex="0">'),
    ):
        context[name] = context.get(name, "").replace(lacking, mended)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.connect("html-page-context", _on_page, priority=900)  # after the theme's own
    return {"parallel_read_safe": True, "parallel_write_safe": True}
