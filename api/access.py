"""Who may use which route: the one table of it. A route that is not here is refused to everybody.

To add a route, add a line: what it does, and the action through which one gets at one's own things,
at those under policies that one approves, and at everything. docs/authorization.md is the same for
people. Tests hold both against the routes that there are, and every route against its line.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import hdrs, web

from api.keys import ACTOR, BROKER, REACH, SCOPES, WHO
from broker.domain.authorization import Action, Reach, reach
from broker.domain.errors import UnlistedRoute
from broker.domain.verdict import Deny

OWN, APPROVED, EVERYTHING = Reach.OWN, Reach.APPROVED, Reach.EVERYTHING
READ, ASK, DECIDE, GIVE_BACK = Action.READ, Action.ASK, Action.DECIDE, Action.GIVE_BACK
OPERATE, TOKENS, SIGN = Action.OPERATE, Action.TOKENS, Action.SIGN


@dataclass(frozen=True, slots=True)
class Access:
    """What a route does, and the action that each reach takes. Without any, it is for everybody
    who can reach us, known or not."""

    does: str
    through: Mapping[Reach, Action] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return not self.through


def _shows(does: str) -> Access:
    return Access(does, {OWN: READ, APPROVED: READ, EVERYTHING: READ})


ROUTES: Mapping[str, Access] = {
    # Requests
    "POST /v1/requests": Access("asks for access", {OWN: ASK}),
    "GET /v1/requests": _shows("lists requests"),
    "GET /v1/requests.tsv": _shows("takes requests along, as a table"),
    "GET /v1/requests/{id}": _shows("shows a request, with its decisions and approvers"),
    "POST /v1/requests/{id}/approval": Access("approves a request", {APPROVED: DECIDE}),
    "POST /v1/requests/{id}/denial": Access("denies a request", {APPROVED: DECIDE}),
    "POST /v1/requests/{id}/cancellation": Access("withdraws a request", {OWN: ASK}),
    "POST /v1/requests/{id}/escalation": Access("pages who is on call about one", {OWN: ASK}),
    "POST /v1/requests/{id}/comments": Access(
        "comments on a request", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "GET /v1/requests/{id}/blast-radius": _shows("says what an approver of a request risks"),
    "GET /v1/requests/{id}/timeline": _shows("shows all that happened with a request"),
    "POST /v1/credentials": Access(
        "asks for access that nobody has to agree to, and hands out its secret", {OWN: ASK}
    ),
    # Grants
    "GET /v1/grants": _shows("lists grants"),
    "GET /v1/grants/{id}": _shows("shows a grant"),
    "GET /v1/grants/{id}/timeline": _shows("shows all that happened with a grant"),
    "GET /v1/grants/{id}/receipt": _shows("shows the proof that a grant ended"),
    "GET /v1/grants/{id}/evidence": Access(
        "packs all that there is about a grant, with its proof", {APPROVED: READ, EVERYTHING: READ}
    ),
    "GET /v1/grants/{id}/findings": _shows("shows what a grant changed on its target"),
    "GET /v1/grants/{id}/privilege-fit": _shows("shows what was used of a grant's privileges"),
    "POST /v1/grants/{id}/credential": Access("hands out a new secret", {OWN: ASK}),
    "POST /v1/grants/{id}/relinquishment": Access("gives a grant back", {OWN: GIVE_BACK}),
    "POST /v1/grants/{id}/extension": Access(
        "asks for a grant to end later, or to return more; an approver agrees with it",
        {OWN: ASK, APPROVED: DECIDE},
    ),
    "POST /v1/grants/{id}/revocation": Access(
        "takes a grant away", {APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "GET /v1/grants/{id}/review": _shows("shows the review after break-glass"),
    "POST /v1/grants/{id}/review": Access("writes that review", {APPROVED: DECIDE}),
    # What is agreed to beforehand
    "GET /v1/allowances": _shows("lists what was agreed to beforehand"),
    "POST /v1/allowances": Access("agrees beforehand", {APPROVED: DECIDE}),
    "POST /v1/allowances/{id}/revocation": Access("takes that back", {APPROVED: DECIDE}),
    # Sessions
    "GET /v1/sessions": _shows("lists sessions"),
    "GET /v1/sessions/{id}": _shows("shows a session"),
    "GET /v1/sessions/{id}/statements": _shows("shows what a session did, statement by statement"),
    "GET /v1/statements": _shows("finds statements"),
    "DELETE /v1/sessions/{id}": Access(
        "ends a session", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "DELETE /v1/grants/{id}/sessions": Access(
        "ends the sessions of a grant", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "GET /v1/held-commits": _shows("lists transactions that wait for a confirmation"),
    "POST /v1/held-commits/{id}/confirmation": Access(
        "confirms one: its holder, or if its policy says so another approver",
        {OWN: ASK, APPROVED: DECIDE},
    ),
    "POST /v1/held-commits/{id}/rollback": Access(
        "has one rolled back", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    # The service
    "GET /v1/overview": _shows("adds up what there is and was, and says what needs attention"),
    "GET /v1/targets": Access(
        "lists targets and roles: one's own are those that one may ask for",
        {OWN: READ, EVERYTHING: READ},
    ),
    "GET /v1/targets/{name}": Access(
        "shows a target: to who sees everything, where it is, too", {OWN: READ, EVERYTHING: READ}
    ),
    "GET /v1/targets/{name}/roles": Access(
        "says what roles may do, and how dangerous that is", {OWN: READ, EVERYTHING: READ}
    ),
    "GET /v1/targets/{name}/members": Access(
        "says who is in which role of a server", {EVERYTHING: READ}
    ),
    "GET /v1/targets/{name}/leftovers": Access(
        "finds what should not be on a target, or no longer", {EVERYTHING: READ}
    ),
    "GET /v1/targets/{name}/findings": Access(
        "looks a target over, as `pgcurfew doctor` does", {EVERYTHING: READ}
    ),
    "GET /v1/alarms": Access(
        "lists alarms about grants, and those about no grant", {APPROVED: READ, EVERYTHING: READ}
    ),
    "POST /v1/alarms/{id}/acknowledgement": Access(
        "closes an alarm", {APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "GET /v1/bans": Access("lists who is shut out by wrong secrets", {EVERYTHING: READ}),
    "DELETE /v1/bans/{key}": Access("lifts a ban", {EVERYTHING: OPERATE}),
    "GET /v1/policies": Access("shows the policies in force", {APPROVED: READ, EVERYTHING: READ}),
    "GET /v1/policies/versions": Access(
        "lists what was in force: policies, and settings to who sees everything",
        {APPROVED: READ, EVERYTHING: READ},
    ),
    "GET /v1/policies/versions/{number}": Access(
        "shows a version, and what it changed", {APPROVED: READ, EVERYTHING: READ}
    ),
    "POST /v1/policies/test": _shows("explains what would be decided, about oneself or others"),
    "POST /v1/policies/replay": Access(
        "tries other policies on past requests", {APPROVED: READ, EVERYTHING: READ}
    ),
    "GET /v1/people/{email}/access": _shows("lists what somebody may ask for"),
    "GET /v1/events": _shows("follows what happens, as far as one may look at it"),
    "GET /v1/audit": Access("reads the audit trail", {EVERYTHING: READ}),
    "GET /v1/audit/verification": Access(
        "checks that the record is as it was written", {EVERYTHING: READ}
    ),
    "GET /v1/audit/stream": Access(
        "follows statements and events as they come", {EVERYTHING: READ}
    ),
    "GET /v1/audit/export": Access("takes the record along", {EVERYTHING: READ}),
    # Oneself
    "GET /v1/me": Access("says who one is, as we see it", {OWN: READ}),
    "GET /v1/tokens": Access("lists tokens", {OWN: READ, EVERYTHING: READ}),
    "POST /v1/tokens": Access(
        "makes a token of one's own, or as an operator one of a machine",
        {OWN: TOKENS, EVERYTHING: OPERATE},
    ),
    "DELETE /v1/tokens/{id}": Access("revokes a token", {OWN: TOKENS, EVERYTHING: OPERATE}),
    "DELETE /v1/sign-in": Access("signs out", {OWN: SIGN}),
    # Pages, for people who have signed in
    "GET /": _shows("shows what needs attention, and how much there is of everything"),
    "GET /me": Access("says who one is, and how to sign out", {OWN: READ}),
    "POST /request": Access("asks for access", {OWN: ASK}),
    "GET /access": Access("shows one's own access", {OWN: READ}),
    "GET /access/root.crt": Access("hands out what vouches for the proxy", {OWN: READ}),
    "POST /access/{id}/secret": Access("hands out a new secret, on a page", {OWN: ASK}),
    "POST /access/{id}/relinquishment": Access("gives a grant back", {OWN: GIVE_BACK}),
    "POST /access/{id}/extension": Access(
        "asks for one's own grant to end later, or to return more", {OWN: ASK}
    ),
    "GET /approvals": _shows("shows the requests that wait for one"),
    "GET /requests": _shows("lists requests"),
    "GET /sessions": _shows("lists sessions"),
    "GET /sessions/statements": _shows("finds statements"),
    "GET /sessions/{id}": _shows("shows a session, and what it did"),
    "POST /sessions/{id}/end": Access(
        "ends a session", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "GET /targets": Access("lists targets and roles", {OWN: READ, EVERYTHING: READ}),
    "GET /targets/{name}": Access("shows a target and its roles", {OWN: READ, EVERYTHING: READ}),
    "GET /targets/{name}/findings": Access("looks a target over", {EVERYTHING: READ}),
    "GET /targets/{name}/members": Access("shows who is in what", {EVERYTHING: READ}),
    "GET /targets/{name}/leftovers": Access(
        "shows what should not be on a target", {EVERYTHING: READ}
    ),
    "GET /policies": _shows("explains what would be decided, and shows what is in force"),
    "GET /policies/versions": Access("lists what was in force", {APPROVED: READ, EVERYTHING: READ}),
    "GET /policies/versions/{number}": Access(
        "shows a version, and what it changed", {APPROVED: READ, EVERYTHING: READ}
    ),
    "GET /audit": Access("searches the audit trail", {EVERYTHING: READ}),
    "GET /audit/export": Access("leads to the export that a form asks for", {EVERYTHING: READ}),
    "GET /audit/verification": Access(
        "checks that the record is as it was written", {EVERYTHING: READ}
    ),
    "GET /requests/{id}": _shows("shows a request, and the whole life of its grant"),
    "GET /requests/{id}/blast-radius": _shows(
        "says what approving a request would let somebody do"
    ),
    "POST /requests/{id}/approval": Access("approves a request", {APPROVED: DECIDE}),
    "POST /requests/{id}/denial": Access("denies a request", {APPROVED: DECIDE}),
    "POST /requests/{id}/cancellation": Access("withdraws a request", {OWN: ASK}),
    "POST /requests/{id}/escalation": Access("pages who is on call about one", {OWN: ASK}),
    "POST /requests/{id}/comments": Access(
        "comments on a request", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "GET /grants/{id}": _shows("leads to the request that a grant came of"),
    "GET /grants/{id}/privilege-fit": _shows("shows what was used of a grant's privileges"),
    "POST /grants/{id}/extension": Access(
        "asks for a grant to end later; an approver agrees with it", {OWN: ASK, APPROVED: DECIDE}
    ),
    "POST /grants/{id}/revocation": Access(
        "takes a grant away", {APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "POST /grants/{id}/review": Access("writes the review after break-glass", {APPROVED: DECIDE}),
    "POST /grants/{id}/sessions/end": Access(
        "ends the sessions of a grant", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "POST /held-commits/{id}/confirmation": Access(
        "confirms a held commit: its holder, or if its policy says so another approver",
        {OWN: ASK, APPROVED: DECIDE},
    ),
    "POST /held-commits/{id}/rollback": Access(
        "has one rolled back", {OWN: ASK, APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    "GET /alarms": _shows("shows what somebody has to look at, or decide at once"),
    "POST /bans/{key}/lifting": Access("lifts a ban", {EVERYTHING: OPERATE}),
    "POST /alarms/{id}/acknowledgement": Access(
        "closes an alarm", {APPROVED: DECIDE, EVERYTHING: OPERATE}
    ),
    # For everybody who can reach us
    "GET /static/{digest}/{name}": Access("styles, scripts and pictures of pages"),
    "GET /request": Access("spells out the request that a link asks for, or is a form for it"),
    "GET /sign-in": Access("shows how to sign in"),
    "POST /sign-in": Access("signs in with a personal token"),
    "GET /sign-in/{provider}": Access("leads to a provider"),
    "GET /sign-in/{provider}/callback": Access("signs in with what the provider says"),
    "POST /sign-out": Access("signs out"),
    "GET /v1/sign-in": Access("names the providers of command lines"),
    "POST /v1/sign-in": Access("exchanges a provider's ID token for one of ours"),
    "GET /healthz": Access("says that the process serves"),
    "GET /readyz": Access("says whether requests can be taken, and how the spools are"),
    "GET /openapi.json": Access("describes this API, as OpenAPI does"),
    "GET /docs": Access("shows that description to people, and lets them try it"),
    "GET /metrics": Access("says how much of everything there is, for Prometheus"),
}


def access_to(request: web.Request) -> Access | None:
    """Return who may use the route of this request; None if nothing says so."""
    resource = request.match_info.route.resource
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return None if resource is None else ROUTES.get(f"{method} {resource.canonical}")


def is_open(request: web.Request) -> bool:
    """Say whether the route takes everybody."""
    access = access_to(request)
    return access is not None and access.is_open


@web.middleware
async def authorization(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Let those past whom the table lets, once `authentication` has said who they are."""
    access = access_to(request)
    if access is None and request.match_info.http_exception is None:
        raise UnlistedRoute
    if access is not None and not access.is_open:
        authority = request.app[BROKER].context.authority
        request[WHO] = authority.actor(request[ACTOR], request.get(SCOPES))
        found = reach(request[WHO], access.through)
        if isinstance(found, Deny):
            raise found.error
        request[REACH] = found
    return await handler(request)
