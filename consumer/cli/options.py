"""Command-line options made from settings: each field of a settings model is described once, in the model."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, Union, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from prefstream.consumer.cli.notes import note_settings
from prefstream.consumer.connection import ENV_CONFIG_FILE, ENV_PREFIX, KafkaConnection

_Settings = TypeVar("_Settings", bound=KafkaConnection)
_Rest = ParamSpec("_Rest")

_GROUPS = {
    "bootstrap_servers": "Kafka",
    "sasl_oauth_token_url": "OAuth",
    "battles_topic": "Topics",
    "group_id": "Group",
    "battles_framing": "Messages",
    "schema_registry_url": "Registry",
    "publish_models": "Messages",
    "review_share": "Review",
    "shadow": "Shadow",
    "max_batch_battles": "Batches",
    "on_data_loss": "Stops",
    "session_timeout_ms": "Time-outs",
    "broker_timeout_s": "Time-outs",
    "http": "HTTP",
    "traces": "Traces",
    "log_level": "Logs",
}
"""The first field of each group of options in the help."""


def with_settings(
    model: type[_Settings], *, leave_out: Collection[str] = (), own_prefix: str | None = None
) -> Callable[[Callable[Concatenate[_Settings, _Rest], None]], Callable[..., None]]:
    """Give a command one option per field of a settings model, and the loaded settings as its first argument.

    Every option is an environment variable, too. Secrets get no option.

    Args:
        model: the settings.
        leave_out: fields that the command decides itself.
        own_prefix: how fields begin that no other command has: their options go without it, and into no group.
    """

    def decorate(command: Callable[Concatenate[_Settings, _Rest], None]) -> Callable[..., None]:
        parameters = _option_parameters(model, leave_out, own_prefix)
        own = dict(list(inspect.signature(command, eval_str=True).parameters.items())[1:])
        wants_context = own.pop(_CONTEXT.name, None) is not None

        @functools.wraps(command)
        def wrapper(*args: Any, config: Path | None, context: typer.Context, **options: Any) -> None:
            flags = {parameter.name: options.pop(parameter.name) for parameter in parameters}
            settings = model.load(config, **flags)
            note_settings(context, command.__name__, settings)
            if wants_context:
                options[_CONTEXT.name] = context
            command(settings, *args, **options)

        signature = inspect.Signature([*own.values(), _config_parameter(), _CONTEXT, *parameters])
        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        return wrapper

    return decorate


_CONTEXT = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
"""Where notes on the settings go; typer gives a command one at most."""


def _config_parameter() -> inspect.Parameter:
    option = typer.Option(
        "--config", envvar=ENV_CONFIG_FILE, help="YAML file with any of these settings.", rich_help_panel="Kafka"
    )
    return _parameter("config", Annotated[Path | None, option])


def _option_parameters(
    model: type[KafkaConnection], leave_out: Collection[str], own_prefix: str | None
) -> list[inspect.Parameter]:
    parameters = []
    panel = "Kafka"
    for name, field in model.model_fields.items():
        panel = _GROUPS.get(name, panel)
        kind = plain_type(field.annotation)
        if name in leave_out or kind is SecretStr:
            continue
        is_own = own_prefix is not None and name.startswith(own_prefix)
        flag = "--" + name.removeprefix(own_prefix if own_prefix and is_own else "").replace("_", "-")
        option = typer.Option(
            f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
            envvar=ENV_PREFIX + name.upper(),
            help=_help(field),
            rich_help_panel=None if is_own else panel,
        )
        parameters.append(_parameter(name, Annotated[kind | None, option]))
    return parameters


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def plain_type(kind: Any) -> Any:
    """A type without its `| None`."""
    if get_origin(kind) in {Union, types.UnionType}:
        kind = next(option for option in get_args(kind) if option is not types.NoneType)
    return kind


def _help(field: FieldInfo) -> str:
    default = field.get_default()
    return field.description or "" if default is None else f"{field.description} [default: {default}]"
