"""Signing in from a terminal: login, logout and whoami."""

import asyncio
from typing import Annotated

import typer

from api.cli.calling import api_url, given_token, with_client
from api.cli.kept import Kept, find_kept, forget, keep
from api.cli.options import AsJson
from api.cli.output import ExitCode, fail, moment, out, print_fields, print_json, time_left
from api.client import Client, open_client
from api.failures import ApiError
from api.schemas import MeView, ProviderView, SignInWays
from broker.domain.errors import SignInFailed
from broker.domain.identity.relying import Answered


def register(app: typer.Typer) -> None:
    for command in (login, logout, whoami):
        app.command()(command)


def login(
    provider: Annotated[
        str | None, typer.Option("--provider", help="Which one, if the server has several.")
    ] = None,
) -> None:
    """Sign in with your provider, in a browser on any device."""
    _refuse_given_token("it would be used all the same")
    url = api_url()

    async def sign_in() -> Kept:
        async with open_client(url) as client:
            chosen = _choose(await client.list_sign_in_ways(), provider, url)
            answered = await _wait_until_allowed(chosen, url)
            view = await client.sign_in(chosen.name, answered.id_token, answered.access_token)
            return Kept(url=url, email=view.person, token=view.token, until=view.expires_at)

    try:
        kept = asyncio.run(sign_in())
    except SignInFailed as error:
        raise typer.Exit(fail(str(error), ExitCode.DENIED)) from None
    keep(kept)
    out.print(f"Signed in as {kept.email} until {moment(kept.until)}.", markup=False)


def logout() -> None:
    """Sign out here: the server takes the sign-in back, and this machine forgets it."""
    _refuse_given_token("an operator revokes it")
    url = api_url()
    kept = find_kept(url)
    if kept is None:
        raise typer.Exit(fail(f"you are not signed in at {url}", ExitCode.NOT_FOUND))

    async def sign_out() -> None:
        async with open_client(url, kept.token) as client:
            await client.sign_out()

    try:
        asyncio.run(sign_out())
    except ApiError as error:
        if error.status != 401:  # over there it has ended already
            raise
    forget(url)
    out.print(f"{kept.email} is signed out.", markup=False)


def whoami(as_json: AsJson = False) -> None:
    """Print who you are to the server, where you stand, and until when you are signed in."""

    async def ask(client: Client) -> MeView:
        return await client.get_me()

    view = with_client(ask)
    if as_json:
        print_json(view)
        return
    until = view.expires_at
    print_fields(
        [
            ("e-mail", view.email),
            ("name", view.name if view.name != view.email else ""),
            ("groups", ", ".join(view.groups) or "none"),
            ("manager", view.manager or ""),
            ("standing", ", ".join(view.standings)),
            ("only to", ", ".join(view.scopes or ())),
            ("until", f"{moment(until)} ({time_left(until)})" if until else ""),
            ("server", api_url()),
        ]
    )


def _refuse_given_token(why: str) -> None:
    if given_token():
        raise typer.Exit(fail(f"PGCURFEW_TOKEN is set: unset it, {why}", ExitCode.DENIED))


def _choose(ways: SignInWays, wanted: str | None, url: str) -> ProviderView:
    """Return the provider to sign in with. Raises SignInFailed."""
    found = {each.name: each for each in ways.providers}
    if wanted is not None and wanted in found:
        return found[wanted]
    if not found:
        raise SignInFailed(
            f"nobody signs in at {url} from a command line; an operator makes you a token with: "
            "pgcurfew token create YOUR-EMAIL"
        )
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    names = ", ".join(sorted(found))
    raise SignInFailed(f"choose with --provider one of: {names}")


async def _wait_until_allowed(provider: ProviderView, url: str) -> Answered:
    """Let the person sign in at the provider. Raises SignInFailed or ProviderUnreachable."""
    # Only this command talks to providers, and what it does so with takes long to load.
    from api.cli.device import wait_until_allowed  # noqa: PLC0415

    return await wait_until_allowed(provider, url)
