"""A CI job gets a login in one call, when a policy says so, and gives it back."""

import pytest

from api.client import ApiError
from broker.domain.grant import GrantState
from tests.integration.test_identity import DEPLOY, broker_of, client_with
from tests.support.issuer import run_issuer
from tests.support.people import HOUR, get_person
from tests.support.stage import DEV, Stage

pytestmark = pytest.mark.newest

DEPLOYMENTS = {
    "name": "deployments",
    "requesters": {"groups": ["deployers"]},
    "resources": [{"target": "orders", "role": "orders_owner"}],
    "approval": "standing",
    "max_duration": "30m",
    "default_duration": "15m",
    "at_once": 1,
}


async def test_a_job_gets_its_login_in_one_call_and_gives_it_back(stage: Stage) -> None:
    async with run_issuer() as issuer:
        async with broker_of(stage, issuer):
            stage.write_policies(DEPLOYMENTS)
        async with stage.broker() as broker:
            async with client_with(broker, issuer.token()) as job:
                with pytest.raises(ApiError, match="allows at most 30m"):
                    await job.obtain("orders", "orders_owner", duration=HOUR)
                obtained = await job.obtain("orders", "orders_owner", reason="release 7")
                assert obtained.grant.person == DEPLOY
                assert obtained.grant.state is GrantState.ACTIVE
                assert obtained.credential.user == obtained.grant.login
                assert await stage.logins_left() == [obtained.grant.login]
                with pytest.raises(ApiError, match="1 grants live already") as full:
                    await job.obtain("orders", "orders_owner")
                assert (full.value.status, full.value.code) == (409, "too-many-at-once")
            # The job's own token is good for minutes; this one gives back, and nothing else.
            async with client_with(broker, obtained.token) as later:
                for forbidden in (later.list_grants, later.get_me):
                    with pytest.raises(ApiError) as refusal:
                        await forbidden()
                    assert refusal.value.status == 403
                with pytest.raises(ApiError):
                    await later.obtain("orders", "orders_owner")
                ended = await later.relinquish(obtained.grant.id)
            assert ended.state is GrantState.ENDED
    assert await stage.logins_left() == []


async def test_what_somebody_has_to_agree_to_is_not_even_asked_for(stage: Stage) -> None:
    async with stage.broker() as broker:
        new = await broker.tokens.create(DEV, label="", lifetime=None, actor="operator:test")
        async with client_with(broker, new.secret) as dev:
            with pytest.raises(ApiError, match="group dba; make a request") as refusal:
                await dev.obtain("orders", "orders_reader", duration=HOUR)
        assert (refusal.value.status, refusal.value.code) == (403, "approval-needed")
        person = await get_person(broker, DEV)
        assert not (await broker.requests.list(person, limit=1)).items


async def test_what_cannot_be_handed_out_is_not_kept(stage: Stage) -> None:
    """A job that got no secret could not give its grant back either."""
    stage.write_policies({"approval": "standing"})
    async with stage.broker() as broker:
        new = await broker.tokens.create(DEV, label="", lifetime=None, actor="operator:test")
        await stage.query("ALTER ROLE curfew_admin NOCREATEROLE")
        try:
            async with client_with(broker, new.secret) as dev:
                with pytest.raises(ApiError):
                    await dev.obtain("orders", "orders_reader")
        finally:
            await stage.query("ALTER ROLE curfew_admin CREATEROLE")
    why = await stage.query_ledger("SELECT end_reason FROM curfew.grants")
    assert why in ("failed", "relinquished")
