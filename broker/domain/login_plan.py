"""The ephemeral login: its name, what it is to be, and the mark by which it is known again.

A login owns no privileges of its own, only one membership, and has no password until a secret is
handed out.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime

from broker.domain.catalog import CatalogRole
from broker.domain.ids import suffix
from broker.domain.sqltext import MAX_IDENTIFIER_BYTES

PREFIX = "jit_"


@dataclass(frozen=True, slots=True)
class LoginMark:
    """What the comment on a login says about it. `installation` tells our logins from another
    broker's."""

    installation: str
    grant_id: str
    person: str = ""

    def comment(self, **more: str) -> str:
        return json.dumps(
            {
                "pgcurfew": self.installation,
                "grant": self.grant_id,
                "person": self.person,
                **more,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPlan:
    """Everything that makes one login."""

    name: str
    role: CatalogRole
    valid_until: datetime
    mark: LoginMark

    @property
    def comment(self) -> str:
        return self.mark.comment()


def login_name(person_email: str, catalog_role: str, grant_id: str) -> str:
    """Return `jit_<person>_<role>_<grant id>`, at most 63 bytes, the grant id always whole."""
    end = f"_{suffix(grant_id)}"
    local_part = person_email.split("@", 1)[0]
    middle = re.sub(r"[^a-z0-9]+", "_", f"{local_part}_{catalog_role}".lower()).strip("_")
    return PREFIX + middle[: MAX_IDENTIFIER_BYTES - len(PREFIX) - len(end)] + end


def quarantine_name(grant_id: str) -> str:
    """Return the name of a login that something holds, so that nobody takes it for a usable one."""
    tail = re.sub(r"[^a-z0-9]+", "_", grant_id.rpartition("_")[2])
    return f"{PREFIX}quarantined_{tail}"[:MAX_IDENTIFIER_BYTES]


def read_mark(comment: str | None) -> LoginMark | None:
    """Return what a role's comment says, or None if it is not one of pgcurfew's."""
    try:
        fields = json.loads(comment or "")
    except (ValueError, RecursionError):  # somebody else's comment may be nested without end
        return None
    match fields:
        case {"pgcurfew": str(installation), "grant": str(grant_id)}:
            return LoginMark(installation, grant_id, str(fields.get("person") or ""))
        case _:
            return None
