"""What every failure looks like (RFC 9457)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from api.schemas import View


class _Terse(View):
    """What is empty is left out."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


class FaultView(_Terse):
    """A field that is wrong: `message` says in what, `allowed` what it may be, where there is a
    list."""

    field: str
    message: str
    allowed: tuple[str, ...] = ()


class ProblemView(_Terse):
    """`code` is stable, `detail` is for people. `errors` are the fields that are wrong, if it is
    about fields."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    code: str
    detail: str
    errors: tuple[FaultView, ...] = ()
