"""The watch ends when it is told to, also when the store loses the cancellation. The only test that fakes the store."""

import asyncio
from typing import cast

from apps.c360.customers import Customers
from apps.c360.readiness import Readiness


class LosesCancellation:
    """What pymongo does under Python 3.11 when an answer and a cancellation come together."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def prepare(self) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async def check(self) -> None:
        return


def test_the_watch_ends_although_its_cancellation_was_lost() -> None:
    async def scene() -> Readiness:
        readiness, store = Readiness(), LosesCancellation()
        watch = asyncio.create_task(readiness.watch(cast("Customers", store)))
        await store.asked.wait()
        readiness.end()
        watch.cancel()
        await asyncio.wait([watch], timeout=5)
        assert watch.done()
        return readiness

    assert asyncio.run(scene()).ready
