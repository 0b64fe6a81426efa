"""``python -m apps.c360.seed --config FILE --customers 200 --seed 7``: generated customers to look at.

Here: making them up, and writing those that are not there yet. Not here: how they are written (``customers``).
Every customer comes from the seed and its own number alone, so asking for more later adds to the same people, and a
second run changes nothing. About one in twenty has never ordered: pages must be right for them too.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

from apps.c360.customers import StoreAway, open_customers
from apps.c360.documents import Document, Line, Order
from apps.c360.settings import BadSettings, read_settings

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)  # fixed days, or the same seed would give other orders tomorrow
DAYS = 730
WITHOUT_ORDERS = 0.05
AT_ONCE = 50  # customers per transaction

_GIVEN = ("Amara", "Anil", "Bela", "Carla", "Chen", "Dario", "Edda", "Farah", "Goran", "Hana", "Kofi", "Mira", "Noor")
_FAMILY = ("Abebe", "Berg", "Costa", "Dubois", "Fischer", "Gomez", "Haddad", "Ito", "Jansen", "Kaya", "Novak")
_CITIES = (
    ("Zürich", "80", "Switzerland", "CHF", "+41 44 555 01"),
    ("Lyon", "69", "France", "EUR", "+33 1 99 00 01"),
    ("Leeds", "LS", "United Kingdom", "GBP", "+44 113 496 01"),
    ("Boston", "021", "United States", "USD", "+1 617 555 01"),
)
_STREETS = ("Station", "Harbour", "Mill", "Church", "Garden", "Lake", "Bridge", "Market")
_MATERIALS = ("Oak", "Steel", "Linen", "Wool", "Glass", "Cork", "Clay", "Bamboo")
_THINGS = (("desk lamp", 4900), ("chair", 12900), ("teapot", 3450), ("blanket", 6900), ("shelf", 8990), ("mug", 1250))


def made_up(seed: int) -> Iterator[tuple[Document, list[Order]]]:
    """Customers without end, each with their orders."""
    number = 0
    while True:
        number += 1
        yield customer(seed, number)


def customer(seed: int, number: int) -> tuple[Document, list[Order]]:
    """The ``number``-th customer of ``seed``."""
    random = Random(f"{seed}/{number}")
    given, family = random.choice(_GIVEN), random.choice(_FAMILY)
    city, code, country, currency, phone = random.choice(_CITIES)
    since = FIRST_DAY + timedelta(days=random.randrange(DAYS // 2), minutes=random.randrange(1440))
    person: Document = {
        "_id": f"c-{seed}-{number:05}",
        "name": f"{given} {family}",
        "email": f"{given}.{family}.{seed}-{number}@mail.example".lower(),
        "address": {
            "street": f"{random.randrange(1, 199)} {random.choice(_STREETS)} Street",
            "postal_code": f"{code}{random.randrange(10, 100)}",
            "city": city,
            "country": country,
        },
        "currency": currency,
        "customer_since": since,
    }
    if random.random() < 0.9:
        person["phone"] = f"{phone}{random.randrange(100):02}"
    count = 0 if random.random() < WITHOUT_ORDERS else min(120, 1 + int(random.expovariate(1 / 8)))
    return person, [_order(random, f"o-{seed}-{number:05}-{at:03}", since, currency) for at in range(1, count + 1)]


def _order(random: Random, order_id: str, since: datetime, currency: str) -> Order:
    days_left = DAYS - (since - FIRST_DAY).days
    ordered_at = since + timedelta(minutes=random.randrange(days_left * 1440), seconds=random.randrange(60))
    return Order(order_id, ordered_at, currency, tuple(_line(random) for _ in range(random.choice((1, 1, 2, 3, 5)))))


def _line(random: Random) -> Line:
    at, material = random.randrange(len(_THINGS)), random.randrange(len(_MATERIALS))
    thing, cents = _THINGS[at]
    title = f"{_MATERIALS[material]} {thing}"
    return Line(f"T{at + 1}-M{material + 1}", title, random.choice((1, 1, 1, 2, 4)), cents + 500 * material)


async def seed_database(config: Path, customers: int, seed: int) -> int:
    """Write what is missing of the first ``customers`` of ``seed``; how many were written."""
    written = 0
    async with open_customers(read_settings(config)) as store:
        await store.prepare()
        waiting = islice(made_up(seed), customers)
        while batch := list(islice(waiting, AT_ONCE)):
            written += await store.add_missing(batch)
    return written


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.c360.seed", description="Fill in generated customers.")
    parser.add_argument("--config", type=Path, required=True, help="the JSON file that names the database")
    parser.add_argument("--customers", type=int, default=200, help="how many there shall be (default 200)")
    parser.add_argument("--seed", type=int, default=7, help="which made-up customers (default 7)")
    asked = parser.parse_args(argv)
    try:
        written = asyncio.run(seed_database(asked.config, asked.customers, asked.seed))
    except BadSettings as error:
        print(error, file=sys.stderr)
        return 2
    except StoreAway as error:
        print(f"{error} What was written stands; run this again.", file=sys.stderr)
        return 1
    print(f"{written} customers written, {asked.customers - written} were there before.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
