"""The link in a refusal, which asks for something, and the same as a command or an HTTP call."""

import json
import shlex
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api.input.values import Duration, Text
from broker.config.values import Identifier, Name
from broker.domain.duration import format_duration, iso_duration

EXAMPLE = "/request?target=orders&role=orders_reader&for=1h"
REASON = "…"
_RULES = {
    "target": "at most 63 of a-z, 0-9, dot, dash and underscore",
    "role": "at most 63 bytes that can be printed",
    "database": "at most 63 bytes that can be printed, or left out",
    "for": "a duration such as 30m, 8h or PT1H30M, or left out",
    "reason": "at most 2000 characters that can be printed",
}


def _printable(text: str) -> str:
    # What turns or hides text on a screen would make a command other than it looks.
    if not text.isprintable():
        raise ValueError("must be text that can be printed")
    return text


_Shown = Annotated[Identifier, AfterValidator(_printable)]


class Asked(BaseModel):
    """What the link says. Other parameters, which chat programs like to add, are ignored."""

    model_config = ConfigDict(frozen=True)

    target: Name
    role: _Shown
    database: _Shown | None = None
    duration: Duration = Field(default=timedelta(hours=1), alias="for")
    reason: Text = ""


class BrokenLink(ValueError):
    """`rules` say, by parameter, what should be there. What is there instead is not repeated: a
    page would then say whatever a link wants it to say."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        super().__init__(", ".join(rules))
        self.rules = rules


def read_link(values: Mapping[str, str]) -> Asked:
    """Raises BrokenLink."""
    try:
        return Asked.model_validate({name: values[name] for name in values})
    except ValidationError as error:
        wrong = {str(fault["loc"][0]) for fault in error.errors()}
        raise BrokenLink({name: rule for name, rule in _RULES.items() if name in wrong}) from None


def command(verb: str, asked: Asked) -> str:
    """Return `pgcurfew VERB` with all that is asked for, for a shell."""
    database = ["--database", asked.database] if asked.database is not None else []
    options = ["--for", in_one_word(asked.duration), *database, "--reason", REASON]
    names = [asked.target, asked.role]
    # After "--" nothing is an option, whatever it begins with.
    words = [*options, "--", *names] if asked.role.startswith("-") else [*names, *options]
    return shlex.join(["pgcurfew", verb, *words])


def http_call(asked: Asked) -> str:
    """Return the same as an HTTP call with curl, for a shell."""
    database = {"database": asked.database} if asked.database is not None else {}
    body = {
        "target": asked.target,
        "role": asked.role,
        **database,
        "duration": iso_duration(asked.duration),
        "reason": REASON,
    }
    return " \\\n  ".join(
        (
            'curl -sS "$PGCURFEW_URL/v1/requests"',
            '-H "Authorization: Bearer $PGCURFEW_TOKEN"',
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
        )
    )


def in_one_word(duration: timedelta) -> str:
    """Return the duration the short way, if that has one word."""
    text = format_duration(duration)
    return iso_duration(duration) if " " in text else text
