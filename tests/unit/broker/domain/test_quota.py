"""What a caller has left, and when there is more."""

from broker.domain.quota import Quota, Quotas

TWO_A_SECOND = Quota(per_minute=120, burst=3)


def test_a_caller_who_is_over_is_told_when_to_come_back() -> None:
    quotas: Quotas[str] = Quotas(TWO_A_SECOND, most=10)
    taken = [quotas.take("alice", 100.0) for _ in range(4)]
    assert [each.is_within for each in taken] == [True, True, True, False]
    assert [each.left for each in taken] == [2, 1, 0, 0]
    assert [each.wait_s for each in taken] == [0, 0, 1, 1]
    assert [each.full_s for each in taken] == [1, 1, 2, 2]
    assert quotas.take("alice", 101.0).is_within
    assert quotas.take("bob", 100.0).is_within


def test_looking_costs_nothing() -> None:
    quotas: Quotas[str] = Quotas(Quota(per_minute=60, burst=1), most=10)
    assert quotas.look("alice", 100.0).left == 1
    assert quotas.look("alice", 100.0).is_within
    quotas.take("alice", 100.0)
    assert not quotas.look("alice", 100.0).is_within
    assert quotas.look("alice", 101.0).is_within


def test_a_window_is_what_an_empty_bucket_takes_to_be_full() -> None:
    assert Quota(per_minute=1200, burst=400).window_s == 20
    assert Quota(per_minute=1, burst=1).window_s == 60
