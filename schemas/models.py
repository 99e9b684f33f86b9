"""What pydantic models of prefstream have in common: made in code, they refuse wrong values by errors of ours."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from prefstream.schemas.errors import ContractError, PrefstreamError


class RefusingModel(BaseModel):
    """A model whose constructor raises an error of ours; pydantic's own methods (`model_validate`) raise pydantic's."""

    if not TYPE_CHECKING:  # a type checker reads the arguments off the fields

        def __init__(self, /, **fields: Any) -> None:
            try:
                self.__pydantic_validator__.validate_python(fields, self_instance=self)
            except ValidationError as error:
                raise self._refusal(error) from None

        # As pydantic marks its own: parts are validated within their whole, and all that is wrong is told together.
        __init__.__pydantic_base_init__ = True

    @classmethod
    @abstractmethod
    def _refusal(cls, error: ValidationError) -> PrefstreamError:
        """The error to raise for what pydantic found."""


class ContractModel(RefusingModel):
    """A part of the contract: frozen, and deaf to fields that it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def _refusal(cls, error: ValidationError) -> PrefstreamError:
        return ContractError.of(cls.__name__, error)
