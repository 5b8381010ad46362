"""The pages on which people decide, and look up what was decided, as browsers get them from the
service."""

import gzip
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from broker.domain.request import AccessRequest
from broker.service.approvals import Consent
from tests.support.browser import Browser, Site, site_of
from tests.support.house import house_on
from tests.support.people import get_grant, get_person, wish
from tests.support.stage import DEV, OTHER_DEV, POLICIES, REVIEWER, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>"""
OPERATOR = "operator@example.com"


@pytest.fixture
async def site(shared_stage: Stage) -> AsyncIterator[Site]:
    def edit(identity: dict[str, Any]) -> None:
        identity["people"].append({"email": OPERATOR, "groups": ["platform"]})
        identity["operators"] = {"groups": ["platform"]}

    async with site_of(shared_stage, edit=edit) as serving:
        yield serving


async def _signed_in(site: Site, browser: Browser, email: str) -> None:
    made = await site.broker.tokens.create(
        email, label="x", lifetime=timedelta(hours=1), actor="operator:test"
    )
    assert (await browser.submit("/sign-in", token=made.secret)).status_code == 303


async def _asked(site: Site, role: str = "orders_writer", **changes: Any) -> AccessRequest:
    asking = replace(wish(role), **changes)
    return (await site.broker.ask(asking, await get_person(site.broker, DEV))).request


async def test_an_approver_chooses_how_long_and_approves_where_they_stand(site: Site) -> None:
    asked = await _asked(site, reason="an <invoice>")
    async with site.browser() as browser:
        await _signed_in(site, browser, REVIEWER)
        page = await browser.read_page("/approvals")
        for said in ("an &lt;invoice&gt;", "0 of 1 agreed:", 'value="PT15M"', 'value="PT1H"'):
            assert said in page
        form = {"back": "approvals", "duration": "other", "other": "20m", "comment": "go ahead"}
        sent = await browser.submit_from("/approvals", f"/requests/{asked.id}/approval", **form)
        assert sent.headers["Location"] == f"/approvals?done={asked.id}"
        after = await browser.read_page(sent.headers["Location"])
        assert "You approved this for 20m on " in after
        assert f'id="decide-{asked.id}"' not in after
        life = await browser.read_page(f"/requests/{asked.id}")
    for said in ("approved, with reviewer@example.com agreeing last", "was made, in "):
        assert said in life


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({}, "duration", "Choose first how long"),
        ({"duration": "PT2H"}, "duration", "2h is too long"),
        ({"duration": "other", "other": "soon"}, "duration", "it is not a duration"),
        ({"duration": "PT15M", "networks": "10.0.0.1/8"}, "networks", "has bits beyond its length"),
        ({"duration": "PT15M", "comment": "\x1b[2J"}, "say", ""),
    ],
)
async def test_what_does_not_fit_is_said_beside_its_field_and_nothing_typed_is_lost(
    site: Site, change: dict[str, str], field: str, said: str
) -> None:
    asked = await _asked(site)
    form = {"back": "approvals", "comment": "as you <wish>", **change}
    async with site.browser() as browser:
        await _signed_in(site, browser, REVIEWER)
        answer = await browser.submit_from("/approvals", f"/requests/{asked.id}/approval", **form)
    assert answer.status_code == 422
    assert re.search(rf'id="{field}-{asked.id}-fault">[^<]*{re.escape(said)}', answer.text)
    if "comment" not in change:
        assert "as you &lt;wish&gt;</textarea>" in answer.text
    assert form.get("other", "") in answer.text


async def test_a_stale_page_says_who_decided_what_and_when(site: Site) -> None:
    asked = await _asked(site)
    async with site.browser() as browser:
        await _signed_in(site, browser, REVIEWER)
        token = browser.token_in(await browser.read_page("/approvals"))
        second = await get_person(site.broker, SECOND_REVIEWER)
        await site.broker.deny(asked.id, second, reason="not <today>")
        path, form = f"/requests/{asked.id}/approval", {"csrf": token, "duration": "PT15M"}
        late = await browser.submit(path, back="approvals", **form)
        assert late.status_code == 409
        assert 'hx-get="/approvals" hx-trigger="live" hx-select="#queue"' in late.text
        said = rf"{SECOND_REVIEWER} denied this on \S+ \S+ UTC: not &lt;today&gt;\. What you"
        assert re.search(said, late.text)
        assert f'href="/requests/{asked.id}"' in late.text
        own = await browser.submit(path, back="request", **form)
        assert own.status_code == 409
        assert re.search(said, own.text)


async def test_who_clicks_twice_hears_that_they_have_approved_it_already(site: Site) -> None:
    asked = await _asked(site)
    async with site.browser() as browser:
        await _signed_in(site, browser, REVIEWER)
        token = browser.token_in(await browser.read_page("/approvals"))
        path, form = f"/requests/{asked.id}/approval", {"csrf": token, "duration": "PT15M"}
        assert (await browser.submit(path, **form)).headers["Location"] == f"/requests/{asked.id}"
        again = await browser.submit(path, **form)
    assert again.status_code == 409
    assert "You approved this for 15m on " in again.text


async def test_denying_takes_one_click_and_a_reason_if_there_is_one(site: Site) -> None:
    bare, reasoned = await _asked(site), await _asked(site)
    async with site.browser() as browser:
        await _signed_in(site, browser, REVIEWER)
        await browser.submit_from("/approvals", f"/requests/{bare.id}/denial")
        path = f"/requests/{reasoned.id}/denial"
        await browser.submit_from("/approvals", path, comment="a reader will do")
        page = await browser.read_page(f"/requests/{reasoned.id}")
        assert "You denied this on " in await browser.read_page(f"/requests/{bare.id}")
    assert "UTC: a reader will do." in page


async def test_two_have_to_agree_and_the_page_says_who_has(stage: Stage) -> None:
    two = {"groups": ["dba"], "count": 2}
    async with house_on(stage, {"writers": two}) as house:
        asked = (await house.broker.ask(wish("orders_writer"), await house.person(DEV))).request
        path = f"/requests/{asked.id}/approval"
        sent = {"back": "approvals", "duration": "PT30M"}
        assert (await house.call(REVIEWER, "POST", path, sent))[0] == 200
        _, mine = await house.call(REVIEWER, "GET", "/approvals")
        assert "1 of 2 agreed:" in mine
        assert "You agreed to this already, on " in mine
        assert f'id="decide-{asked.id}"' not in mine
        _, theirs = await house.call(SECOND_REVIEWER, "GET", "/approvals")
        assert f"{REVIEWER.replace('@', '@<wbr>')} agreed" in theirs
        _, done = await house.call(SECOND_REVIEWER, "POST", path, {"duration": "PT1H"})
    assert "You approved this for 30m on " in done
    assert f", as {REVIEWER} had." in done


async def test_whoever_asks_withdraws_and_everybody_comments(site: Site) -> None:
    asked = await _asked(site)
    page = f"/requests/{asked.id}"
    async with site.browser() as dev, site.browser() as reviewer, site.browser() as other:
        for browser, email in ((dev, DEV), (reviewer, REVIEWER), (other, OTHER_DEV)):
            await _signed_in(site, browser, email)
        empty = await reviewer.submit_from(page, f"{page}/comments", text=" ")
        assert empty.status_code == 422
        assert "Write something first." in empty.text
        await reviewer.submit_from(page, f"{page}/comments", text="Which one?")
        own = await dev.read_page(page)
        assert "Which one?" in own
        assert f"{page}/approval" not in own
        assert (await other.get(page)).status_code == 404
        await dev.submit_from(page, f"{page}/cancellation")
        assert "This was withdrawn on " in await dev.read_page(page)


async def test_a_grant_is_revoked_from_the_page_of_its_request(site: Site) -> None:
    given = await get_grant(site.broker, "orders_writer")
    async with site.browser() as browser:
        await _signed_in(site, browser, REVIEWER)
        found = await browser.get(f"/grants/{given.grant.id}")
        page = found.headers["Location"]
        assert (found.status_code, page) == (303, f"/requests/{given.grant.request_id}")
        longer = await browser.submit_from(
            page, f"/grants/{given.grant.id}/extension", duration="9h", reason="x"
        )
        assert longer.status_code == 422
        assert "9h" in longer.text
        path = f"/grants/{given.grant.id}/revocation"
        assert (await browser.submit_from(page, path, reason="<enough>")).status_code == 303
        ended = await browser.read_page(page)
    for said in ("&lt;enough&gt;", "Receipt ", "The login is gone.", "Download all evidence"):
        assert said in ended


async def test_texts_of_people_stay_texts_on_every_page(site: Site) -> None:
    asked = await _asked(site, reason=HOSTILE)
    reviewer = await get_person(site.broker, REVIEWER)
    await site.broker.requests.comment(asked.id, reviewer, HOSTILE)
    async with site.browser() as browser:
        await _signed_in(site, browser, REVIEWER)
        pages = [await browser.read_page(each) for each in ("/approvals", f"/requests/{asked.id}")]
        form = {"back": "approvals", "duration": HOSTILE, "other": HOSTILE, "networks": HOSTILE}
        path = f"/requests/{asked.id}/approval"
        pages.append((await browser.submit_from("/approvals", path, **form, comment=HOSTILE)).text)
        await site.broker.approve(asked.id, reviewer, Consent(comment=HOSTILE))
        pages.append(await browser.read_page(f"/requests/{asked.id}"))
        names = ("q", "status", "target", "role", "requester", "policy", "since", "sort", "after")
        found = await browser.get("/requests", params=dict.fromkeys(names, HOSTILE))
        assert found.status_code == 422
        pages += [
            found.text,
            await browser.read_page("/requests"),
            await browser.read_page("/approvals"),
        ]
    for page in pages:
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert "<img" not in page


async def test_requests_are_filtered_sorted_and_paged(site: Site) -> None:
    made = []
    for _ in range(3):
        site.clock.advance(timedelta(seconds=1))
        made.append((await _asked(site, "orders_reader", reason="needle")).id)
    async with site.browser() as browser:
        await _signed_in(site, browser, OPERATOR)
        first = await browser.read_page("/requests?q=needle&limit=2")
        assert [each in first for each in made] == [False, True, True]
        assert 'aria-sort="descending"' in first
        assert 'href="/v1/requests.tsv?q=needle"' in first
        (older,) = re.findall(r'href="([^"]+)" rel="next"', first)
        rest = await browser.read_page(older.replace("&amp;", "&"))
        assert made[0] in rest
        wrong = await browser.get("/requests?status=maybe&q=+++%21&limit=9999")
        assert wrong.status_code == 422
        assert "must be one of pending, approved" in wrong.text.lower()
        assert 'id="f-status-fault"' in wrong.text
        nothing = await browser.read_page("/requests?q=nobodysaidthis")
        assert "No request that you may see is like that" in nothing
        whole = await browser.read_page("/requests")
    assert len(gzip.compress(whole.encode())) < 60_000


async def test_who_breaks_the_glass_says_so_and_an_approver_writes_the_review(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = {
        "from": [{"groups": ["dba"], "count": 2}],
        "break_glass": {"people": [SECOND_REVIEWER, OTHER_DEV]},
    }
    writers = next(each for each in POLICIES["policies"] if each["name"] == "writers")
    monkeypatch.setitem(writers, "approval", approval)
    async with (
        site_of(stage) as site,
        site.browser() as breaker,
        site.browser() as reviewer,
        site.browser() as only,
    ):
        asked = await _asked(site)
        page, path = f"/requests/{asked.id}", f"/requests/{asked.id}/approval"
        for browser, email in (
            (breaker, SECOND_REVIEWER),
            (reviewer, REVIEWER),
            (only, OTHER_DEV),
        ):
            await _signed_in(site, browser, email)
        assert "Break the glass and approve" in await only.read_page(page)
        assert "Break the glass: give it now" in await breaker.read_page("/approvals")
        refused = await reviewer.submit_from(page, path, duration="PT15M", break_glass="true")
        assert refused.status_code == 403
        assert "does not name you as somebody who breaks the glass" in refused.text
        await breaker.submit_from(page, path, duration="PT15M", break_glass="true")
        broken = await reviewer.read_page(page)
        grant_id = re.search(r"grt_\w{16}", broken)
        assert grant_id is not None
        for said in ("break-glass: ", "I have looked at it", "Write the review", ">due<"):
            assert said in broken
        review = f"/grants/{grant_id[0]}/review"
        await reviewer.submit_from(page, review, text="it <burned>")
        reviewed = await reviewer.read_page(page)
    assert "it &lt;burned&gt;</p>" in reviewed
    assert "I have looked at it" not in reviewed


async def test_held_commits_alarms_and_extensions_are_there_for_whom_they_are(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        held, _ = await house.held_commit(holding), await house.alarm(holding.grant)
        page = f"/requests/{holding.request}"
        for who, confirms, acknowledges in ((DEV, True, False), (REVIEWER, False, True)):
            _, shown = await house.call(who, "GET", page)
            assert "changed 1,000 rows waits at COMMIT" in shown
            assert (f"/held-commits/{held}/confirmation" in shown) is confirms
            assert f"/held-commits/{held}/rollback" in shown
            assert ("I have looked at it" in shown) is acknowledges
        _, settled = await house.call(REVIEWER, "POST", f"/held-commits/{held}/rollback")
        assert f"was held at COMMIT: rolled back by {REVIEWER.replace('@', '@<wbr>')}" in settled
        extension = f"/v1/grants/{holding.grant}/extension"
        _, asked = await house.call(
            DEV, "POST", extension, {"duration": "PT30M", "reason": "it takes longer"}
        )
        waits = asked["request"]["id"]
        _, desk = await house.call(REVIEWER, "GET", "/approvals")
        assert "asks for 30m more of" in desk
        assert f'id="networks-{waits}"' not in desk
        form = {"back": "approvals", "duration": "PT15M"}
        _, done = await house.call(REVIEWER, "POST", f"/requests/{waits}/approval", form)
        assert "You approved this for 15m on " in done
        _, family = await house.call(REVIEWER, "GET", page)
        assert "The curfew moved from " in family
        assert f'href="/requests/{waits}">Extension by 30m' in family
