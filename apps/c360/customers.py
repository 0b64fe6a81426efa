"""The customers and their orders in MongoDB: the only module that talks to it.

Here: reading one customer, adding one order exactly once, preparing an empty database, and telling "MongoDB
is away" (try again) from everything else. Not here: shapes (``documents``), HTTP (``web``), the watch (``readiness``).

An order and its customer change in one transaction: the order's own document is the proof that it was counted,
so a second delivery, however late and from whichever process, finds it and changes nothing.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from apps.c360.documents import (
    BadOrder,
    Document,
    Order,
    Problem,
    normal_email,
    order_document,
    order_update,
    with_orders,
)
from apps.c360.settings import BadSettings, Settings

READS_VERSIONS = frozenset({1})  # data versions this release can read; release.toml says the same
WRITES_VERSION = 1

FIND_SERVER_SECONDS = 1.0
READ_SECONDS = 1.5  # the longest a read waits for MongoDB, retries included
WRITE_SECONDS = 2.5  # and a write; less than what a request in flight gets at the end of the process

PROBE_CUSTOMER: Document = {
    "_id": "probe",
    "name": "Synthetic probe",
    "email": "probe@c360.invalid",
    "currency": "EUR",
    "synthetic": True,
}


class StoreAway(Exception):
    """MongoDB did not answer, or did not confirm a write: nothing is known to have changed, sending again is safe."""


class UnknownCustomer(Exception):
    """No customer has this id."""

    def __init__(self, customer_id: str) -> None:
        self.customer_id = customer_id
        super().__init__(f"There is no customer with the id {customer_id!r}.")


class OrderConflict(Exception):
    """The id belongs to an order that says something else; storing either again would be wrong."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__(f"An order with the id {order_id!r} is stored already and differs; give this one its own id.")


class UnreadableData(Exception):
    """The database holds a data version this release does not read."""


class Customers:
    """The customers of one database."""

    def __init__(self, client: AsyncMongoClient[Document], database: str) -> None:
        self._client = client
        self._database = client[database]
        self._customers = self._database["customers"]
        self._orders = self._database["orders"]
        self._about = self._database["about"]

    async def prepare(self) -> None:
        """Make an empty database usable, leave a used one as it is; raises ``UnreadableData``, ``StoreAway``."""
        with _asking(10.0):  # an index over many customers is not built in a moment
            await self._about.update_one({"_id": "data"}, {"$setOnInsert": {"version": WRITES_VERSION}}, upsert=True)
            await self.check()
            await self._customers.create_index("email", unique=True)
            await self._orders.create_index([("customer_id", 1), ("ordered_at", -1)])
            probe = with_orders(PROBE_CUSTOMER, [])
            await self._customers.update_one({"_id": probe["_id"]}, {"$setOnInsert": probe}, upsert=True)

    async def check(self) -> None:
        """Return if customers can be read and written now; raises ``UnreadableData``, ``StoreAway``."""
        with _asking(READ_SECONDS):
            about = await self._about.find_one({"_id": "data"})
        if about is None:
            raise UnreadableData(f"The database {self._database.name} was emptied; it will be prepared again.")
        if about["version"] not in READS_VERSIONS:
            found, readable = about["version"], ", ".join(map(str, sorted(READS_VERSIONS)))
            raise UnreadableData(
                f"The database {self._database.name} holds data version {found}, this release reads {readable}."
            )

    async def one(self, customer_id: str) -> Document:
        """The document of one customer; raises ``UnknownCustomer``, ``StoreAway``."""
        with _asking(READ_SECONDS):
            found = await self._customers.find_one({"_id": customer_id})
        if found is None:
            raise UnknownCustomer(customer_id)
        return found

    async def by_email(self, email: str) -> Document | None:
        """The document of the customer with this e-mail address, if there is one; raises ``StoreAway``."""
        with _asking(READ_SECONDS):
            return await self._customers.find_one({"email": normal_email(email)})

    async def add_order(self, customer_id: str, order: Order) -> Literal["stored", "duplicate"]:
        """Store ``order`` once; raises ``UnknownCustomer``, ``BadOrder``, ``OrderConflict``, ``StoreAway``."""
        document = order_document(customer_id, order)

        async def write(session: AsyncClientSession) -> bool:
            await self._orders.insert_one(document, session=session)
            mine = {"_id": customer_id, "currency": order.currency}
            changed = await self._customers.update_one(mine, order_update(order), session=session)
            if not changed.matched_count:
                await session.abort_transaction()
            return bool(changed.matched_count)

        with _asking(WRITE_SECONDS):
            async with self._client.start_session() as session:
                try:
                    written = await session.with_transaction(write)
                except DuplicateKeyError:
                    if await self._confirmed(order.id) != document:
                        raise OrderConflict(order.id) from None
                    return "duplicate"
        if not written:
            currency = (await self.one(customer_id))["currency"]
            raise BadOrder([Problem("currency", f"must be {currency}, the currency of this customer")])
        return "stored"

    async def _confirmed(self, order_id: str) -> Document | None:
        """The stored order once no failover can undo it: only then may a second sender be told that it is stored."""
        majority = self._orders.with_options(read_concern=ReadConcern("majority"))
        if found := await majority.find_one({"_id": order_id}):
            return found
        just_now = self._orders.with_options(read_concern=ReadConcern("linearizable"))  # waits, up to 0.1 s
        return await just_now.find_one({"_id": order_id})

    async def add_missing(self, customers: Sequence[tuple[Document, Sequence[Order]]]) -> int:
        """Write those of ``customers`` that are not there yet, each with all its orders; how many were written.

        All of them or none: a customer is never there without its orders. Raises ``StoreAway``.
        """

        async def write(session: AsyncClientSession) -> int:
            asked = {"_id": {"$in": [customer["_id"] for customer, _ in customers]}}
            known = {found["_id"] async for found in self._customers.find(asked, {"_id": 1}, session=session)}
            new = [(customer, orders) for customer, orders in customers if customer["_id"] not in known]
            if new:
                await self._customers.insert_many([with_orders(*pair) for pair in new], session=session)
            orders = [order_document(customer["_id"], order) for customer, orders in new for order in orders]
            if orders:
                await self._orders.insert_many(orders, session=session)
            return len(new)

        with _asking(30.0):
            async with self._client.start_session() as session:
                return await session.with_transaction(write)


@asynccontextmanager
async def open_customers(settings: Settings) -> AsyncIterator[Customers]:
    """The customers in the database ``settings`` name. Connects when first asked, so MongoDB may come later."""
    try:
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            settings.mongo_uri,
            appname="c360",
            tz_aware=True,
            w="majority",
            serverSelectionTimeoutMS=int(FIND_SERVER_SECONDS * 1000),
            connectTimeoutMS=int(FIND_SERVER_SECONDS * 1000),
            maxPoolSize=32,
        )
    except (PyMongoError, ValueError) as error:  # the URI itself may hold a password: it is not repeated
        raise BadSettings(f"secrets.mongo_uri is not a MongoDB URI ({type(error).__name__}); correct it.") from error
    try:
        yield Customers(client, settings.database)
    finally:
        await client.close()


@contextmanager
def _asking(seconds: float) -> Iterator[None]:
    """Bound everything asked of MongoDB inside, and raise ``StoreAway`` where asking again may help."""
    try:
        with pymongo.timeout(seconds):
            yield
    except PyMongoError as error:
        if not _may_pass(error):
            raise
        raise StoreAway(f"MongoDB does not answer ({_in_short(error)}).") from error


def _may_pass(error: PyMongoError) -> bool:
    labels = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
    if isinstance(error, ConnectionFailure) or error.timeout or any(map(error.has_error_label, labels)):
        return True
    return isinstance(error, OperationFailure) and error.code in {11600, 11602, 10107, 13435, 189, 91}  # stepping down


def _in_short(error: Any) -> str:
    """pymongo's messages carry the whole topology after the first clause."""
    return f"{type(error).__name__}: {str(error).split(', Timeout:')[0].split(' (configured')[0][:160]}"
