"""`python -m tests.release`: a release, from its number to files that were tried; how: `.github/CONTRIBUTING.md`."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.release import changelog
from tests.release.contents import faults
from tests.release.places import COPIES, ROOT, SOURCE, VERSION, disagreements
from tests.release.readme import README, with_whole_links
from tests.release.trial import try_out

app = typer.Typer(no_args_is_help=True, add_completion=False)

Distributions = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Wheel and sdist.")]


@app.command("set")
def set_version(version: Annotated[str, typer.Argument(help="Of the release, such as 0.2.0.")]) -> None:
    """Write the version wherever it stands, and make what the changelog has unreleased its section."""
    if not VERSION.fullmatch(version):
        raise typer.BadParameter(f"{version} should be three numbers, such as 0.2.0")
    try:
        changelog.release(ROOT, version, dt.datetime.now(dt.UTC).date())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for place in (SOURCE, *COPIES):
        place.write(ROOT, version)
        typer.echo(place.path)
    typer.echo(changelog.CHANGELOG)


@app.command()
def check(
    distributions: Annotated[list[Path] | None, typer.Argument(exists=True, dir_okay=False, help="If built.")] = None,
    tag: Annotated[str | None, typer.Option(help="Of the release; without it the changelog need not have it.")] = None,
) -> None:
    """Hold tag, version, changelog and what was built against each other; exit code 1 where they differ."""
    version = SOURCE.told(ROOT)
    wrong = list(disagreements(ROOT))
    if tag is not None:
        if tag != f"v{version}":
            wrong.append(f"the tag is {tag}, {SOURCE.path} says {version}")
        try:
            changelog.section(ROOT, version)
        except ValueError as error:
            wrong.append(str(error))
    for distribution in distributions or ():
        wrong.extend(faults(distribution, version))
    for sentence in wrong:
        typer.echo(sentence, err=True)
    if wrong:
        raise typer.Exit(1)
    typer.echo(version)


@app.command()
def links(
    source: Annotated[str, typer.Argument(help="Where the repository can be read: https://github.com/OWNER/NAME.")],
    ref: Annotated[str, typer.Argument(help="Tag or commit.")],
) -> None:
    """Write whole links into the README of this checkout, for what is built of it; not to be committed."""
    path = ROOT / README
    path.write_text(with_whole_links(path.read_text(encoding="utf-8"), source.rstrip("/"), ref), encoding="utf-8")
    typer.echo(path.name)


@app.command()
def notes() -> None:
    """Print the changelog's section of this version."""
    try:
        typer.echo(changelog.section(ROOT, SOURCE.told(ROOT)), nl=False)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command("try")
def try_distributions(distributions: Distributions) -> None:
    """Install each into a virtual environment of its own, by pip and its index, and use it."""
    for distribution in distributions:
        with tempfile.TemporaryDirectory() as folder:
            try_out(distribution.absolute(), SOURCE.told(ROOT), Path(folder), typer.echo)


if __name__ == "__main__":
    app()
