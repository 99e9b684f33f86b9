"""Names and codes of languages: what means the same has one name, what is unknown keeps its own."""

from __future__ import annotations

import pytest

from prefstream.scoring.files.languages import language_name


@pytest.mark.parametrize("given", ["English", "english", " ENGLISH ", "en", "EN", "en-US", "en_gb"])
def test_what_means_the_same_has_one_name(given: str) -> None:
    assert language_name(given) == "English"


@pytest.mark.parametrize(
    ("given", "name"),
    [("zh-Hant-TW", "Chinese"), ("pt_BR", "Portuguese"), ("nb", "Norwegian Bokmål"), ("no", "Norwegian")],
)
def test_regions_and_scripts_do_not_matter(given: str, name: str) -> None:
    assert language_name(given) == name


@pytest.mark.parametrize("given", ["Klingon", "xx", "unknown", "python-3", "", "fr fr"])
def test_what_is_no_language_known_here_stays_as_it_is(given: str) -> None:
    assert language_name(f" {given} ") == given
