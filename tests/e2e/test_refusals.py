"""Who is not let in, and what they are told: the pinned errors, as every client shows them."""

import psycopg
import pytest

from tests.support.service import Access, Service
from tests.support.stage import DEV

pytestmark = pytest.mark.newest  # about our own words


def _refused(access: Access, **parameters: str) -> str:
    with pytest.raises(psycopg.OperationalError) as refusal:
        access.connect(**parameters)
    return str(refusal.value)


async def test_a_wrong_secret_and_an_unknown_login_are_one_and_the_same(service: Service) -> None:
    access = await service.get_access()
    known, unknown = access.credential.user, "jit_dev_orders_reader_0000000000000000"
    wrong_secret = _refused(access, password="0" * 26)
    unknown_login = _refused(access, user=unknown)
    assert f'FATAL:  password authentication failed for user "{known}"' in wrong_secret
    assert wrong_secret.replace(known, unknown) == unknown_login


async def test_a_replaced_secret_no_longer_works(service: Service) -> None:
    access = await service.get_access()
    async with service.client(DEV) as dev:
        fresh = await dev.hand_out(access.grant.id)
    assert "password authentication failed" in _refused(access)
    with access.connect(password=fresh.password) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_an_ended_grant_says_so_and_what_to_do(service: Service) -> None:
    access = await service.get_access()
    async with service.client(DEV) as dev:
        await dev.relinquish(access.grant.id)
    said = _refused(access)
    assert "FATAL:  no live grant for this login" in said
    assert f"DETAIL:  Access ended: grant {access.grant.id} was relinquished." in said
    assert "HINT:  Ask again: pgcurfew request orders orders_reader --for 1h" in said


async def test_an_ended_grant_says_nothing_to_who_does_not_hold_its_secret(
    service: Service,
) -> None:
    access = await service.get_access()
    async with service.client(DEV) as dev:
        await dev.relinquish(access.grant.id)
    assert "password authentication failed" in _refused(access, password="0" * 26)


async def test_the_secret_does_not_open_the_target_itself(service: Service) -> None:
    access = await service.get_access()
    server = service.stage.server
    said = _refused(access, host=server.host, port=str(server.port), sslmode="disable")
    assert f'password authentication failed for user "{access.credential.user}"' in said


async def test_another_database_than_the_granted_one_is_refused(service: Service) -> None:
    access = await service.get_access()
    said = _refused(access, dbname="postgres")
    assert 'FATAL:  no access to database "postgres"' in said
    assert f'DETAIL:  Grant {access.grant.id} is for database "{access.grant.database}".' in said


async def test_without_tls_nobody_gets_further_than_their_name(service: Service) -> None:
    access = await service.get_access()
    said = _refused(access, sslmode="disable")
    assert "FATAL:  this server requires TLS" in said


async def test_a_refused_session_of_a_known_person_is_on_record(service: Service) -> None:
    access = await service.get_access()
    _refused(access, dbname="postgres")
    found = await service.stage.query_ledger(
        "SELECT data ->> 'reason' FROM curfew.audit_events "
        "WHERE kind = 'session.refused' AND grant_id = $1",
        access.grant.id,
    )
    assert found.startswith('no access to database "postgres" Grant grt_')
