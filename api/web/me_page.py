"""The page that tells people who they are here, and lets them leave."""

from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from api.schemas import MeView
from api.web.page import Visitor, facts, form, hidden, moment, page
from broker.domain.authorization import Action
from broker.domain.duration import format_duration
from broker.domain.identity.sign_in import SignIn

_EVERYWHERE = hidden("everywhere", "true") + "<button>Sign out everywhere</button>"
_HERE = '<button class="first">Sign out</button>'
_WHAT_IT_ENDS = """\
<p class="quiet">Everywhere means every browser, and every command line that has signed in with
<code>pgcurfew login</code>. Tokens that were made for you stay as they are.</p>
"""


@dataclass(frozen=True, slots=True)
class Stay:
    """How long somebody stays signed in."""

    sign_in: SignIn
    idle: timedelta


def me_page(me: MeView, stay: Stay | None, visitor: Visitor) -> web.Response:
    """Return the page. Who came without signing in, with a token, has no stay that could end."""
    who = facts(
        [
            ("E-mail", me.email),
            ("Name", me.name if me.name != me.email else ""),
            ("Groups", ", ".join(me.groups) or "none"),
            ("Manager", me.manager or ""),
            ("Standing", ", ".join(me.standings)),
            ("Only to", ", ".join(me.scopes or ())),
        ]
    )
    return page("You", who + (_leaving(me, stay, visitor) if stay else ""), visitor=visitor)


def _leaving(me: MeView, stay: Stay, visitor: Visitor) -> str:
    how_long = facts(
        [
            ("Through", stay.sign_in.provider or "a personal token"),
            ("Since", moment(stay.sign_in.created_at)),
            ("Until", moment(stay.sign_in.expires_at)),
            ("When idle", f"until {format_duration(stay.idle)} after the last use"),
        ]
    )
    signs = me.scopes is None or Action.SIGN in me.scopes
    ways = (_HERE, _EVERYWHERE) if signs else (_HERE,)
    buttons = "".join(form("/sign-out", each, visitor) for each in ways)
    said = _WHAT_IT_ENDS if signs else ""
    return f'<h2>Signed in</h2>{how_long}<div class="buttons">{buttons}</div>{said}'
