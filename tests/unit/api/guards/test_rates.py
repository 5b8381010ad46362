"""Who is counted, and what programs are told of it."""

import pytest

from api.guards.rates import headers_of, is_free
from api.guards.terms import Known
from broker.domain.quota import Quota, Quotas


@pytest.mark.parametrize(
    ("path", "free"),
    [
        ("/healthz", True),
        ("/static/abc/pages.css", True),
        ("/static", False),
        ("/healthz/", False),
        ("/v1/requests", False),
    ],
)
def test_load_balancers_and_assets_are_not_counted(path: str, *, free: bool) -> None:
    assert is_free(path) == free


def test_a_program_reads_its_quota_and_what_is_left_of_it() -> None:
    quotas: Quotas[str] = Quotas(Quota(per_minute=1200, burst=400), most=1)
    assert headers_of(quotas.take("alice", 0.0)) == {
        "RateLimit-Policy": '"default";q=400;w=20',
        "RateLimit": '"default";r=399;t=1',
    }


def test_what_was_good_here_longest_ago_is_forgotten_first() -> None:
    known = Known(most=2)
    for digest in (b"a", b"b", b"a", b"c"):
        known.add(digest)
    assert [digest in known for digest in (b"a", b"b", b"c")] == [True, False, True]


def test_what_is_good_no_longer_is_not_known() -> None:
    known = Known(most=2)
    known.add(b"a")
    for digest in (b"a", b"never there"):
        known.discard(digest)
        assert digest not in known
