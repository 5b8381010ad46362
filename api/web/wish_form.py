"""What the form that asks for access has in its fields, sent or in a link that fills it in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.schemas import NewRequest
from api.web.drafts import Unfit, fit
from broker.domain.catalog import CatalogRole
from broker.domain.grant import GrantKind

_FIELDS = (
    "target",
    "role",
    "database",
    "for",
    "reason",
    "kind",
    "networks",
    "pin_address",
    "person",
    "conversation",
)
# What the form calls otherwise than the API: links to it have always said "for".
_CALLED = {"duration": "for"}
_BETWEEN = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class WishForm:
    """`typed` has the fields that are not empty. There is no `body` if something does not fit: then
    `errors` say what, by field."""

    typed: Mapping[str, str]
    body: NewRequest | None = None
    errors: Mapping[str, str] | None = None


def read_wish(values: Mapping[str, str], role: CatalogRole) -> WishForm:
    """Return what the fields say about a role that is known."""
    typed = {name: _clean(values[name]) for name in _FIELDS if values.get(name, "").strip()}
    try:
        return WishForm(typed, fit(NewRequest, _body(typed, role)), {})
    except Unfit as unfit:
        return WishForm(typed, None, in_form(unfit.errors))


def in_form(errors: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong by the form's own names of fields."""
    return {_CALLED.get(name, name): text for name, text in errors.items()}


def _body(typed: Mapping[str, str], role: CatalogRole) -> dict[str, Any]:
    sent: dict[str, Any] = {
        name: typed[_CALLED.get(name, name)]
        for name in NewRequest.model_fields
        if _CALLED.get(name, name) in typed
    }
    if GrantKind.LOGIN not in role.kinds:
        sent.setdefault("kind", min(role.kinds))
    if "networks" in sent:
        sent["networks"] = [each for each in _BETWEEN.split(sent["networks"]) if each]
    return {**sent, "pin_address": "pin_address" in typed}


def _clean(text: str) -> str:
    """Return what a browser sent as people meant it: it ends lines as HTTP does."""
    return text.strip().replace("\r\n", "\n")
