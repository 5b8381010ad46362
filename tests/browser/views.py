"""Every page that there is, as somebody sees it."""

from dataclasses import asdict, dataclass

from playwright.sync_api import Page, Response

from tests.support.showcase import AUDITOR, OPERATOR, Landmarks
from tests.support.stage import DEV, REVIEWER


@dataclass(frozen=True, slots=True)
class View:
    """A page as somebody sees it, or a stranger. `path` may have names of landmarks in it, and
    `click` is what they click on first. What `needs_script` is another page without one."""

    name: str
    path: str
    email: str | None = DEV
    click: str | None = None
    needs_script: bool = False

    def path_at(self, landmarks: Landmarks) -> str:
        return self.path.format_map(asdict(landmarks))


VIEWS = (
    View("sign-in", "/sign-in", None),
    View("request-for-strangers", "/request?target=orders&role=orders_reader&for=1h", None),
    View("request-broken-link", "/request?target=orders&for=long", None),
    View("overview", "/", OPERATOR),
    View("overview-developer", "/"),
    View("request-choose", "/request"),
    View("request", "/request?target=orders&role=orders_writer&for=30m"),
    View("request-faults", "/request?target=orders&role=orders_writer&for=soon&networks=here"),
    View("access", "/access"),
    View("secret", "/access", click="role=button[name='Get a new secret']"),
    View("approvals", "/approvals", REVIEWER),
    View("requests", "/requests", OPERATOR),
    View("requests-faults", "/requests?since=yesterday&status=maybe", OPERATOR),
    View(
        "requests-drawer",
        "/requests?status=pending",
        REVIEWER,
        click="tbody >> role=link >> nth=0",
        needs_script=True,
    ),
    View("request-pending", "/requests/{pending_request}", REVIEWER),
    View("request-active", "/requests/{active_request}", REVIEWER),
    View("request-own", "/requests/{active_request}"),
    View("request-urgent", "/requests/{urgent_request}", REVIEWER),
    View("request-ended", "/requests/{ended_request}", REVIEWER),
    View("privilege-fit", "/grants/{ended_grant}/privilege-fit", REVIEWER),
    View("blast-radius", "/requests/{pending_request}/blast-radius", REVIEWER),
    View("sessions", "/sessions", OPERATOR),
    View("session", "/sessions/{ended_session}"),
    View("session-open", "/sessions/{open_session}", OPERATOR),
    View("statements", "/sessions/statements?text=orders", OPERATOR),
    View("targets", "/targets", OPERATOR),
    View("target", "/targets/orders", OPERATOR),
    View("target-developer", "/targets/orders"),
    View("findings", "/targets/orders/findings", OPERATOR),
    View("members", "/targets/orders/members", OPERATOR),
    View("leftovers", "/targets/orders/leftovers", OPERATOR),
    View("policies", "/policies?target=orders&role=orders_writer&duration=2h", REVIEWER),
    View("policies-versions", "/policies/versions", REVIEWER),
    View("policies-version", "/policies/versions/2", REVIEWER),
    View("alarms", "/alarms", OPERATOR),
    View("audit", "/audit", AUDITOR),
    View("verification", "/audit/verification", AUDITOR),
    View("me", "/me"),
    View("not-found", "/requests/req_0000000000000000"),
    View("docs", "/docs", None, needs_script=True),
)

# What a part of a page loads by itself is a link to it until then.
_IS_SETTLED = """() => !document.querySelector(".htmx-request")
  && [...document.querySelectorAll("[hx-trigger=load]")].every(
    (part) => !part.querySelector(`a[href="${part.getAttribute("hx-get")}"]`))
  && !document.querySelector("#swagger-ui:not(:has(.opblock-tag))")"""


def open_view(page: Page, view: View, landmarks: Landmarks) -> Response:
    """Open the page, and wait until all that it loads by itself is there. Return what the server
    answered to what was opened or clicked on last."""
    response = page.goto(view.path_at(landmarks))
    if view.click is not None:
        with page.expect_response(_is_a_page) as answered:
            page.click(view.click)
        response = answered.value
    page.wait_for_load_state("load")
    page.wait_for_function(_IS_SETTLED)
    assert response is not None
    return response


def _is_a_page(response: Response) -> bool:
    return response.request.resource_type in ("document", "fetch")
