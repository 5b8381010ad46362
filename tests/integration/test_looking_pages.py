"""The pages on which people look: what sessions did, the record, policies, targets, alarms, and how
much there is of everything."""

import pytest

from tests.integration.test_record import FAILED, reads, session_of, soon
from tests.support.house import AUDITOR, OPERATOR, House, house_on
from tests.support.sealed_rows import put_on_record
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest
HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>"""


async def _page(house: House, who: str, path: str, status: int = 200) -> str:
    found, text = await house.call(who, "GET", path)
    assert found == status, text
    return str(text)


async def test_a_session_is_seen_with_what_it_runs_and_replayed_and_ended(stage: Stage) -> None:
    async with house_on(stage) as house:
        _holding, session = await session_of(house)
        texts = (f"SELECT '{HOSTILE}'", "SELECT * FROM nothing", "SELECT pg_sleep(3600)")
        await put_on_record(
            stage,
            soon(1, session, text=texts[0]),
            soon(2, session, text=texts[1], outcome=FAILED),
            soon(3, session, text=texts[2], outcome=None),
        )
        listed = await _page(house, DEV, "/sessions")
        assert "SELECT pg_sleep(3600)" in listed
        shown = await _page(house, REVIEWER, f"/sessions/{session}")
        assert HOSTILE not in shown
        assert "SELECT &#39;&lt;script&gt;" in shown
        assert '<span class="badge bad">42P01</span>' in shown
        assert "statements is on record" in shown
        read = [actor for actor, kind, *_ in await reads(stage) if kind == "statements.read"]
        assert set(read) == {REVIEWER}
        await _page(house, OTHER_DEV, f"/sessions/{session}", 404)
        status, _ = await house.call(DEV, "POST", f"/sessions/{session}/end")
        assert status == 200, "led to its page"
        by = "SELECT killed_by FROM curfew.sessions WHERE id = $1"
        assert await stage.query_ledger(by, session) == DEV


async def test_statements_are_found_by_their_text_and_what_is_wrong_is_beside_its_field(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        await put_on_record(stage, soon(1, session, text="TABLE invoices", outcome=FAILED))
        found = await _page(house, DEV, "/sessions/statements?text=INVOICES&person=&until=")
        assert "TABLE invoices" in found
        assert f"/sessions/{session}?after=0" in found
        wrong = await _page(house, DEV, "/sessions/statements?person=me&since=soon", 422)
        assert 'id="f-since-fault">Must be a time with its zone' in wrong
        assert 'value="soon"' in wrong


async def test_the_audit_trail_is_searched_verified_and_taken_along(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        found = await _page(house, AUDITOR, f"/audit?grant={holding.grant}&kind=&person=")
        assert "<code>grant.provisioned</code>" in found
        assert "<code>token.created</code>" not in found
        wrong = await _page(house, AUDITOR, "/audit?kind=GRANT", 422)
        assert 'id="f-kind-fault">Must be a kind of event, for example grant.ended' in wrong
        await house.broker.trail_sealing.seal()
        checked = await _page(house, AUDITOR, "/audit/verification")
        assert "Every chain, every row and every checkpoint is as it was written" in checked
        leads = "/audit/export?what=events&format=tsv&person=&grant="
        assert (await _page(house, AUDITOR, leads)).startswith("seq\tat\tactor")
        await _page(house, DEV, "/audit", 403)


async def test_policies_answer_what_if_and_are_told_in_words_to_who_approves(stage: Stage) -> None:
    async with house_on(stage) as house:
        mine = await _page(house, DEV, "/policies")
        assert "What you may ask for" in mine
        assert "In force" not in mine
        asked = "/policies?target=orders&role=orders_writer&reason=&duration="
        why = await _page(house, DEV, asked)
        assert "policy &#39;writers&#39; wants a reason" in why
        wrong = await _page(house, DEV, f"{asked}3x", 422)
        assert 'id="f-duration-fault">' in wrong
        assert 'value="3x"' in wrong
        of_another = await _page(house, REVIEWER, f"{asked}2h&person={DEV}")
        assert "2h is too long" in of_another
        assert '<td data-label="What">orders_writer on orders; ' in of_another
        assert "policies/versions/" in of_another
        version = await _page(house, REVIEWER, "/policies/versions/2")
        assert '<span class="added">' in version
        assert "Version 2 of the policies" in version
        await _page(house, DEV, "/policies/versions/2", 404)
        assert '"/policies/versions/2"' in await _page(house, REVIEWER, "/policies/versions")


async def test_targets_say_what_roles_may_do_and_to_operators_what_is_wrong(stage: Stage) -> None:
    async with house_on(stage) as house:
        dev_sees = await _page(house, DEV, "/targets/orders")
        assert "Reads 1 table in schema shop" in dev_sees
        assert "/targets/orders/findings" not in dev_sees
        await _page(house, DEV, "/targets/orders/findings", 403)
        await _page(house, OPERATOR, "/targets/nowhere", 404)
        assert "/targets/orders/leftovers" in await _page(house, OPERATOR, "/targets/orders")
        assert "The SQL that mends it" in await _page(house, OPERATOR, "/targets/orders/findings")
        assert "curfew_admin" in await _page(house, OPERATOR, "/targets/orders/members")
        # Other tests' logins are on the same server, so this one is told by its own.
        await stage.query("CREATE ROLE jit_nobodys LOGIN")
        try:
            left = await _page(house, OPERATOR, "/targets/orders/leftovers")
        finally:
            await stage.query("DROP ROLE jit_nobodys")
        assert "jit_nobodys" in left
        assert "The SQL that ends it" in left


async def test_the_overview_leads_to_what_waits_and_alarms_are_seen_to(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        await house.held_commit(holding)
        alarm = await house.alarm(holding.grant)
        ban = await house.ban()
        leads = await _page(house, OPERATOR, "/")
        assert '<a href="/alarms">1 alarm is open.</a>' in leads
        assert leads.count("<svg") == 4 + 1, "the plots, and the mark"
        assert "Statements on record" not in await _page(house, DEV, "/")
        seen = await _page(house, OPERATOR, "/alarms")
        assert f'<a class="button first" href="/grants/{holding.grant}">' in seen
        quoted = ban.replace(" ", "%20").replace(":", "%3A").replace("/", "%2F")
        for path in (f"/alarms/{alarm}/acknowledgement", f"/bans/{quoted}/lifting"):
            assert path in seen
            status, _ = await house.call(OPERATOR, "POST", path)
            assert status == 200
        after = await _page(house, OPERATOR, "/alarms")
        assert "No alarm is open" in after
        assert ban not in after
        assert "Look at this" in await _page(house, OPERATOR, "/alarms?status=all")
