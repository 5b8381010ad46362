"""A shipper in a process of its own, which can be killed: `python -m tests.support.shipping`.

    FOLDER HOST PORT DATABASE USER PASSWORD

ships until nothing is left in the folder.
"""

import asyncio
import sys
from pathlib import Path

from broker.domain.server import ServerAddress, TlsMode
from broker.ledger.connection import LedgerLogin, open_pool
from proxy.spool.destination import Batch
from proxy.spool.reader import SpoolFolder
from proxy.spool.shipper import Ledger, Shipping, delete_shipped

# Small ones, so that there are many moments to die in.
_BATCH = Batch(most_rows=250)


async def ship(folder: Path, login: LedgerLogin, batch: Batch = _BATCH) -> int:
    """Ship until nothing is left. Returns how many rows there were."""
    spool = SpoolFolder(folder)
    async with open_pool(login, "a shipper", 1) as pool:
        ledger = Ledger(pool)
        ledger.batch = batch
        shipping = Shipping(spool, ledger)
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(
                shipping.keep_shipping(lambda: delete_shipped(spool, [shipping]))
            )
            while not spool.is_empty():
                await asyncio.sleep(0.01)
            keeper.cancel()
    return shipping.shipped


def main() -> None:
    folder, host, port, database, user, password = sys.argv[1:]
    address = ServerAddress(host, int(port), database, TlsMode.DISABLE)
    asyncio.run(ship(Path(folder), LedgerLogin(address, user, password)))


if __name__ == "__main__":
    main()
