"""Pages out of documents that stay where they are, whatever their addresses on the site."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.project import Project
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.util._pathlib import _StrPath


class Documents(Project):
    """The documents of a site, each named with its address.

    Args:
        folder: that the documents' paths are relative to.
        pages: addresses, without `.html`, and the documents' paths.
    """

    def __init__(self, folder: str | os.PathLike[str], pages: dict[str, str]) -> None:
        super().__init__(folder, [".md"])
        self._pages = pages
        self._addresses = {path: address for address, path in pages.items()}

    def discover(self, exclude_paths: Iterable[str] = (), include_paths: Iterable[str] = ("**",)) -> set[str]:  # noqa: ARG002
        """The addresses of all pages; nothing is looked for."""
        self.docnames = set(self._pages)
        return self.docnames

    def path2doc(self, filename: str | os.PathLike[str]) -> str | None:
        """The address of a document; None where the file is none of the site's."""
        return self._addresses.get(os.path.relpath(self.srcdir / filename, self.srcdir))

    def doc2path(self, docname: str, absolute: bool) -> _StrPath:  # noqa: FBT001 - as Sphinx calls it
        """The path of a page's document."""
        path = self._pages.get(docname, f"{docname}.md")
        return self.srcdir / path if absolute else type(self.srcdir)(path)


class LinksToSources(SphinxTransform):
    """Links to files and folders that are no page lead to where the checkout can be read.

    Without such a place they are text, so that no link is dead. What the site has for download stays a link to it; a
    link to what is not there stays as it is, and Sphinx complains.
    """

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Change the document's links."""
        for node in list(self.document.findall(_is_link_to_file)):
            target, _, anchor = node["reftarget"].partition("#")
            relative, found = self.env.relfn2path(target, self.env.docname)
            if anchor or relative in self.config.downloads or not Path(found).exists():
                continue
            where: nodes.Element = nodes.inline("", "", classes=["source"])
            if self.config.source_url:
                where = nodes.reference("", "", refuri=f"{self.config.source_url}/{quote(relative)}")
            node.replace_self(where)
            where += node.children


def _is_link_to_file(node: nodes.Node) -> bool:
    return (
        isinstance(node, addnodes.download_reference | addnodes.pending_xref)
        and node["reftype"] == "myst"
        and node["refdomain"] is None
    )


def _use_documents(app: Sphinx) -> None:
    app.project = app.env.project = Documents(app.srcdir, app.config.pages)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of it."""
    app.add_config_value("pages", {}, "env", dict)
    app.add_config_value("downloads", [], "env", list)
    app.add_config_value("source_url", "", "env", str)
    app.add_transform(LinksToSources)
    app.connect("builder-inited", _use_documents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
