"""``python -m apps.c360.probe --port PORT``: does the round trip work? One JSON line; exit 0 yes, 1 no; within 5 s.

The probe is outside the application: it speaks HTTP to it, imports nothing of it but this file, and believes only
what it reads back. It works on the synthetic customer ``probe``, which every release keeps. Its order's id is made
of the release that answers and the minute, so each release has to write at least once, and probes that run every
second, or at the same time, add one order a minute.
"""

import argparse
import http.client
import json
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

WITHIN_SECONDS = 4.5
CUSTOMER = "probe"


class DoesNotWork(Exception):
    """What was asked and what was wrong with the answer, in one sentence."""


def round_trip(host: str, port: int, now: datetime) -> str:
    """Read, order, order again, read back, look at the page; the release that did it. Raises ``DoesNotWork``."""
    before, release = _json(host, port, "GET", f"/v1/customers/{CUSTOMER}", expected=(200,))
    minute = now.replace(second=0, microsecond=0)
    order_id = "-".join(("probe", release[-12:], f"{minute:%Y%m%dT%H%M}"))
    order = {
        "id": order_id,
        "ordered_at": minute.isoformat(),
        "currency": "EUR",
        "lines": [{"sku": "PROBE", "title": "Synthetic order of the probe", "quantity": 2, "unit_price_cents": 50}],
    }
    orders = f"/v1/customers/{CUSTOMER}/orders"
    first, _ = _json(host, port, "POST", orders, expected=(200, 201), body=order)
    again, _ = _json(host, port, "POST", orders, expected=(200,), body=order)
    if again["outcome"] != "duplicate":
        raise DoesNotWork(f"POST {orders} of the same order twice was answered {again['outcome']!r}, not 'duplicate'.")
    after, _ = _json(host, port, "GET", f"/v1/customers/{CUSTOMER}", expected=(200,))
    grown = after["figures"]["order_count"] - before["figures"]["order_count"]
    if grown < (1 if first["outcome"] == "stored" else 0):
        raise DoesNotWork(f"The order {order_id} was stored, but the count of orders grew by {grown}.")
    if order_id not in [order["id"] for order in after["orders"]]:
        raise DoesNotWork(f"The order {order_id} is {first['outcome']}, but not among the customer's latest orders.")
    page, _ = _ask(host, port, "GET", f"/customers/{CUSTOMER}", expected=(200,))
    if order_id not in page.decode(errors="replace"):
        raise DoesNotWork(f"The order {order_id} is in the JSON, but not on the page /customers/{CUSTOMER}.")
    return release


def _json(host: str, port: int, method: str, path: str, **how: Any) -> tuple[dict[str, Any], str]:
    answer, release = _ask(host, port, method, path, **how)
    try:
        return json.loads(answer), release
    except ValueError:
        raise DoesNotWork(f"{method} {path} was not answered with JSON.") from None


def _ask(
    host: str, port: int, method: str, path: str, expected: tuple[int, ...], body: Any = None
) -> tuple[bytes, str]:
    connection = http.client.HTTPConnection(host, port, timeout=WITHIN_SECONDS)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), {"Accept": "*/*"})
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise DoesNotWork(f"{method} {path} was not answered ({type(error).__name__}: {error}).") from error
    finally:
        connection.close()
    if response.status not in expected:
        said = answer[:200].decode(errors="replace")
        raise DoesNotWork(f"{method} {path} was answered with status {response.status}: {said}")
    return answer, response.headers.get("X-Release", "")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.c360.probe", description="One round trip through the app.")
    parser.add_argument("--port", type=int, required=True, help="the application's HTTP port")
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (default 127.0.0.1)")
    asked = parser.parse_args(argv)
    began = time.monotonic()

    def too_late(*_: object) -> None:
        raise DoesNotWork(f"The round trip took longer than {WITHIN_SECONDS} s.")

    signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, WITHIN_SECONDS)  # a dripping answer stays within every read's own timeout
    said: dict[str, Any] = {"probe": "c360", "works": True}
    try:
        said["release"] = round_trip(asked.host, asked.port, datetime.now(UTC))
    except DoesNotWork as error:
        said |= {"works": False, "why": str(error)}
    except (KeyError, TypeError, AttributeError) as error:
        said |= {"works": False, "why": f"An answer lacks what every release gives ({type(error).__name__}: {error})."}
    said["seconds"] = round(time.monotonic() - began, 4)
    print(json.dumps(said))
    return 0 if said["works"] else 1


if __name__ == "__main__":
    sys.exit(main())
