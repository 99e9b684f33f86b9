"""The names of attributes are those of the conventions that we say we follow."""

from __future__ import annotations

from importlib.metadata import version

from opentelemetry.semconv import schemas
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, messaging_attributes
from opentelemetry.semconv.attributes import error_attributes
from packaging.requirements import Requirement

from prefstream.consumer.observe.traces import names
from tests.support.only import PROJECT


def test_names_that_are_not_ours_are_in_the_conventions() -> None:
    modules = (gen_ai_attributes, messaging_attributes, error_attributes)
    known = {value for module in modules for name, value in vars(module).items() if name.isupper()}
    ours = {value for name, value in vars(names).items() if name.isupper() and name != "SCHEMA_URL"}
    assert {name for name in ours - known if not name.startswith("prefstream.")} == {names.EVALUATION_RESULT}


def test_the_version_is_the_one_of_the_package_that_is_pinned() -> None:
    newest = [value for name, value in vars(schemas.Schemas).items() if name.startswith("V1_")][-1]
    assert newest.value == names.SCHEMA_URL
    (pinned,) = [one for one in PROJECT["optional-dependencies"]["traces"] if "semantic-conventions" in one]
    assert Requirement(pinned).specifier.contains(version("opentelemetry-semantic-conventions"), prereleases=True)
    assert f"{Requirement(pinned).specifier}".removeprefix("==") in str(names.__doc__)
