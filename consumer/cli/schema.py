"""`prefstream schema`: the contract as JSON Schema and AsyncAPI."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from prefstream.consumer.cli.exit_codes import EXIT_FAULT
from prefstream.consumer.cli.notes import refuse_unused
from prefstream.schemas.documents import (
    ASYNCAPI,
    BATTLE_SCHEMA,
    DEAD_LETTER_SCHEMA,
    PREFERENCE_SCHEMA,
    documents,
    stale_documents,
    write_documents,
)


class Document(StrEnum):
    """What can be printed."""

    BATTLE = "battle"
    PREFERENCE = "preference"
    DEAD_LETTER = "dead-letter"
    ASYNCAPI = "asyncapi"
    ALL = "all"


_FILES: Final = {
    Document.BATTLE: BATTLE_SCHEMA,
    Document.PREFERENCE: PREFERENCE_SCHEMA,
    Document.DEAD_LETTER: DEAD_LETTER_SCHEMA,
    Document.ASYNCAPI: ASYNCAPI,
}


def schema(
    context: typer.Context,
    document: Annotated[Document, typer.Argument(help="Which document to print.")] = Document.ALL,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Write all documents into this folder instead of printing.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            file_okay=False,
            help="Exit 1 when the documents in this folder differ from the models.",
        ),
    ] = None,
) -> None:
    """Print the contract: JSON Schema of the messages, AsyncAPI of the topics. Generated from the models.

    Examples: `prefstream schema battle`; `prefstream schema --check schemas`
    """
    if write is not None or check is not None:
        refuse_unused(context, ["document"], "with --write and --check, which take all documents")
    if write is not None:
        write_documents(write)
    if check is not None:
        _check(check)
    if write is None and check is None:
        _print(document)


def _check(folder: Path) -> None:
    stale = stale_documents(folder)
    for name in stale:
        typer.echo(f"{folder / name} is not what the models say; run: prefstream schema --write {folder}", err=True)
    if stale:
        raise typer.Exit(EXIT_FAULT)


def _print(document: Document) -> None:
    contents = documents()
    if document is not Document.ALL:
        typer.echo(contents[_FILES[document]], nl=False)
        return
    for name, content in contents.items():
        typer.echo(f"==> {name} <==")
        typer.echo(content)
