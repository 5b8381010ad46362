"""What settings are made of: values that several sections have, and how people write them."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainValidator

from broker.domain.duration import parse_duration
from broker.domain.errors import InvalidDuration, InvalidSize
from broker.domain.size import parse_size
from broker.domain.sqltext import ident


def _secret_ref(text: str) -> str:
    if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+", text):
        # The text may be the secret itself, so it is not repeated.
        raise ValueError("a secret is never written here: name where it is, env:NAME or file:PATH")
    return text


def _duration(value: Any) -> timedelta:
    try:
        return parse_duration(str(value))  # not pydantic's own reading: 8 would mean 8 seconds
    except InvalidDuration as fault:
        raise ValueError(str(fault)) from None


def _size(value: Any) -> int:
    try:
        return parse_size(str(value))
    except InvalidSize as fault:
        raise ValueError(str(fault)) from None


def _identifier(text: str) -> str:
    ident(text)
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", text):
        raise ValueError(
            "a name is at most 63 of a-z, 0-9, dot, dash and underscore, "
            "and begins with a letter or a digit"
        )
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("not an e-mail address")
    return text.lower()


SecretRef = Annotated[str, AfterValidator(_secret_ref)]
Duration = Annotated[timedelta, PlainValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]  # a plain one would drop the bounds of fields
"""In bytes."""
Identifier = Annotated[str, AfterValidator(_identifier)]
Email = Annotated[str, AfterValidator(_email)]
Name = Annotated[str, AfterValidator(_name)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
