"""What GitHub shows of Markdown and Sphinx does not: pictures in HTML, for light screens and dark, and diagrams."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx

DIAGRAM: Final = re.compile(r"^```mermaid\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
PICTURE: Final = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*(<img [^>]+>)\s*</picture>'
)
IMAGE: Final = re.compile(r"<img ([^>]+)>")


def diagram_name(text: str, screen: str) -> str:
    """The file of a diagram that `tests.diagrams` has drawn. Another text has another name, so that none is stale.

    Args:
        text: of the diagram.
        screen: `light` or `dark`.
    """
    return f"diagram-{hashlib.sha256(text.encode()).hexdigest()[:8]}-{screen}.svg"


def for_sphinx(text: str, assets: str) -> str:
    """A document with its pictures and diagrams as MyST writes them.

    Args:
        text: Markdown as GitHub reads it.
        assets: path to the folder of drawn diagrams, from the document's.
    """
    text = DIAGRAM.sub(lambda found: _diagram(found[1], assets), text)
    text = PICTURE.sub(lambda found: _image(found[2], "only-light") + _image(found[2], "only-dark", found[1]), text)
    return IMAGE.sub(lambda found: _image(found[0]), text)


def _diagram(text: str, assets: str) -> str:
    return "".join(
        f"![Diagram]({assets}/{diagram_name(text, screen)}){{.diagram .only-{screen}}}" for screen in ("light", "dark")
    )


def _image(html: str, screen: str = "", source: str | None = None) -> str:
    told = dict(re.findall(r'(\w+)="([^"]*)"', html))
    attributes = [f".{screen}"] * bool(screen) + [f"width={told[name]}" for name in ("width",) if name in told]
    return f"![{told['alt']}]({source or told['src']})" + (f"{{{' '.join(attributes)}}}" if attributes else "")


def _on_source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    document = Path(app.env.doc2path(docname))
    source[0] = for_sphinx(source[0], os.path.relpath(app.srcdir / ".assets", document.parent))


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.connect("source-read", _on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
