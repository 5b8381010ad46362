"""What all bodies, views and pages of views have."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item", bound=BaseModel)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class View(BaseModel):
    """Whatever has a default is said all the same."""

    model_config = ConfigDict(
        frozen=True, defer_build=True, json_schema_serialization_defaults_required=True
    )


class Page(View, Generic[Item]):
    """`next` is the value of `after` that continues the list, or null at its end."""

    items: tuple[Item, ...]
    next: str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """As programs that are generated from the OpenAPI description call it: RequestPage."""
        (item,) = params
        return f"{item.__name__.removesuffix('View')}Page"
