"""How much strangers may take: connections that have not logged in, counted per address. Pure.

Memory is bounded, whoever comes. What is done for each of them is counted in broker.domain.buckets.
"""

from broker.domain.buckets import counted_as
from broker.domain.network import Address


class HalfOpen:
    """Connections that have not authenticated yet, in all and per address."""

    def __init__(self, max_total: int, max_per_address: int) -> None:
        self._max_total = max_total
        self._max_per_address = max_per_address
        self._total = 0
        self._per_address: dict[int, int] = {}

    def resize(self, max_total: int, max_per_address: int) -> None:
        """Count those who come from now on against other limits."""
        self._max_total = max_total
        self._max_per_address = max_per_address

    def enter(self, address: Address | None) -> bool:
        """Count one more, unless that is too many. Say None where the address is not known yet."""
        if self._total >= self._max_total:
            return False
        if address is not None:
            key = counted_as(address)
            count = self._per_address.get(key, 0)
            if count >= self._max_per_address:
                return False
            self._per_address[key] = count + 1
        self._total += 1
        return True

    def leave(self, address: Address | None) -> None:
        """Undo one successful `enter` of the same address."""
        self._total -= 1
        if address is None:
            return
        key = counted_as(address)
        self._per_address[key] -= 1
        if not self._per_address[key]:
            del self._per_address[key]
