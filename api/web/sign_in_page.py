"""The page on which people sign in: a button for each provider, a field for a personal token."""

from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import web

from api.web.page import form, hidden, notice, page

_FIELDS = """\
<label>Personal token
<input type="password" name="token" required autocomplete="off" spellcheck="false"></label>
<button{first}>Sign in</button>
"""
_HELP = """\
<p class="quiet">An operator makes one for you with <code>pgcurfew token create</code>. It is asked
for once: this browser then stays signed in for as long as a sign-in lasts here.</p>
"""


def sign_in_page(
    providers: Sequence[str],
    back_to: str,
    *,
    wrong: str = "",
    said: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> web.Response:
    """Return the page. `wrong` is what went wrong and `said` what has been done, as text."""
    above = notice(wrong) if wrong else ""
    above += f'<p role="status">{escape(said)}</p>' if said else ""
    buttons = "".join(_button(each, back_to) for each in providers)
    first = "" if providers else ' class="first"'
    with_token = form("/sign-in", hidden("to", back_to) + _FIELDS.format(first=first), None)
    if providers:
        body = f'<p class="buttons">{buttons}</p><h2>Or with a token</h2>{with_token}'
    else:
        body = with_token
    return page("Sign in", above + body + _HELP, status)


def _button(provider: str, back_to: str) -> str:
    # A link and no form: browsers hold what a form leads to, also in the end, to form-action.
    where = escape(f"/sign-in/{provider}?{urlencode({'to': back_to})}")
    return f'<a class="button first" href="{where}">Continue with {escape(provider)}</a>'
