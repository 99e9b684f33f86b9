"""The README as PyPI shows it: there is no folder beside it, so what its links lead to is named whole."""

from __future__ import annotations

import re
from typing import Final

README: Final = "README.md"

_LINK: Final = re.compile(r'(?P<before>\]\(|\b(?:src|srcset|href)=")(?P<target>[^)"\s]+)')
"""Of Markdown, and of the HTML in it."""

_PICTURE: Final = re.compile(r"\.(?:svg|webp|png|gif|jpe?g)$")

_FENCE: Final = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def with_whole_links(text: str, source: str, ref: str) -> str:
    """A README whose every link says where it leads.

    Args:
        text: Markdown, with links to files of the checkout and to its own headings.
        source: where the repository can be read, such as `https://github.com/OWNER/NAME`.
        ref: tag or commit.
    """

    def whole(link: re.Match[str]) -> str:
        target = link["target"]
        if re.match(r"[a-z]+:|//", target):
            return link[0]
        way = "raw" if _PICTURE.search(target) else "blob"
        return f"{link['before']}{source}/{way}/{ref}/{README if target.startswith('#') else ''}{target}"

    pieces, at = [], 0
    for code in _FENCE.finditer(text):
        pieces += [_LINK.sub(whole, text[at : code.start()]), code[0]]
        at = code.end()
    return "".join([*pieces, _LINK.sub(whole, text[at:])])
