"""Draws the documents' diagrams again, for the site: GitHub draws Mermaid itself, and no page of ours fetches a script.

    python -m tests.diagrams            # into .assets/

Needs npm, which fetches Mermaid, and Chromium. A drawing is named by its diagram's text: without that of one that has
changed, the site is not built.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from docs._ext.markdown import DIAGRAM, diagram_name
from docs.conf import pages
from tests.support.browser import launched

ROOT: Final = Path(__file__).parents[1]
ASSETS: Final = ROOT / ".assets"

INSTALL: Final = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")
MERMAID: Final = "mermaid@12.3.0"
THEMES: Final = {"light": "neutral", "dark": "dark"}

DOWN: Final = "flowchart TB"
"""The site's pages are narrower than GitHub's: what flows to the right there flows down here."""

DRAW: Final = """
async ([text, theme]) => {
    const flowchart = { useMaxWidth: false, nodeSpacing: 24, rankSpacing: 28, wrappingWidth: 300 };
    mermaid.initialize({ startOnLoad: false, deterministicIds: true, htmlLabels: false, theme, flowchart });
    return (await mermaid.render("diagram", text)).svg;
}
"""


def main() -> None:
    """Draw all of them, and forget what no document has any more."""
    documents = [(ROOT / path).read_text(encoding="utf-8") for path in pages.values()]
    texts = [text for document in documents for text in DIAGRAM.findall(document)]
    for old in ASSETS.glob("diagram-*.svg"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        subprocess.run([*INSTALL, MERMAID], cwd=folder, check=True)
        page = browser.new_page()
        page.add_script_tag(path=Path(folder, "node_modules", "mermaid", "dist", "mermaid.min.js"))
        for text in texts:
            for screen, theme in THEMES.items():
                path = ASSETS / diagram_name(text, screen)
                drawing = page.evaluate(DRAW, [text.replace("flowchart LR", DOWN), theme])
                path.write_text(f"{drawing}\n", encoding="utf-8")
                sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
