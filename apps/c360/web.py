"""The HTTP face: routes, answers and errors, and the measuring of every request.

Here: what is asked over HTTP and with which status it is answered. Not here: what a customer looks like (``view``,
``page``), how customers are kept (``customers``). ``X-Release`` is put on every answer by the server (``__main__``).
"""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.c360 import page
from apps.c360.customers import Customers, OrderConflict, StoreAway, UnknownCustomer
from apps.c360.documents import BadOrder, Problem, parse_order
from apps.c360.metrics import Metrics
from apps.c360.readiness import Readiness
from apps.c360.view import single_view, view_json

LARGEST_ORDER_BYTES = 256 * 1024

log = logging.getLogger("c360.web")


class Endpoints:
    """One method per route; the table of routes is in ``application``."""

    def __init__(self, customers: Customers, readiness: Readiness, metrics: Metrics) -> None:
        self._customers = customers
        self._readiness = readiness
        self._metrics = metrics

    async def customer_page(self, request: Request) -> Response:
        view = single_view(await self._customers.one(request.path_params["id"]))
        return HTMLResponse(page.customer(view), headers=page.HEADERS)

    async def customer_json(self, request: Request) -> Response:
        view = single_view(await self._customers.one(request.path_params["id"]))
        return JSONResponse(view_json(view), headers={"Cache-Control": "no-store"})

    async def search(self, request: Request) -> Response:
        email = request.query_params.get("email", "").strip()
        if not email:
            why = "Say whom to look for: /v1/customers?email=ADDRESS."
            return _error(request, 422, why, [Problem("email", "is missing")])
        found = await self._customers.by_email(email)
        views = [] if found is None else [view_json(single_view(found))]
        return JSONResponse({"customers": views}, headers={"Cache-Control": "no-store"})

    async def add_order(self, request: Request) -> Response:
        with self._metrics.orders.receive() as settling:
            try:
                order = parse_order(await _body(request), datetime.now(UTC))
                settling.outcome = await self._customers.add_order(request.path_params["id"], order)
            except (BadOrder, UnknownCustomer, OrderConflict, HTTPException, ClientDisconnect):
                settling.outcome = "refused"
                raise
        stored = settling.outcome == "stored"
        return JSONResponse({"order": order.id, "outcome": settling.outcome}, status_code=201 if stored else 200)

    async def ready(self, request: Request) -> Response:
        if self._readiness.ready:
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "why": self._readiness.why}, status_code=503)

    async def metrics(self, request: Request) -> Response:
        return PlainTextResponse(self._metrics.text(self._readiness.ready), media_type="text/plain; version=0.0.4")


def application(customers: Customers, readiness: Readiness, metrics: Metrics) -> Starlette:
    """The whole HTTP application."""
    ends = Endpoints(customers, readiness, metrics)
    return Starlette(
        routes=[
            Route("/customers/{id}", ends.customer_page),
            Route("/v1/customers", ends.search),
            Route("/v1/customers/{id}", ends.customer_json),
            Route("/v1/customers/{id}/orders", ends.add_order, methods=["POST"]),
            Route("/ready", ends.ready),
            Route("/metrics", ends.metrics),
        ],
        middleware=[Middleware(Measured, metrics=metrics)],
        exception_handlers={
            UnknownCustomer: _answer(404),
            OrderConflict: _answer(409),
            BadOrder: _answer(422),
            StoreAway: _store_away,
            ClientDisconnect: _answer(400),
            HTTPException: _http,
        },
    )


class Measured:
    """Counts every request by the template of its route; a path that matches none is counted as ``other``.

    A failure that nobody foresaw is logged and answered here. Further out, the server would cut the connection after
    its answer, and the next request on it, which may be another client's behind a balancer, would be lost too.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_status)
        except Exception:
            if status:
                raise
            log.exception("a request failed", extra={"fields": {"method": scope["method"], "path": scope["path"]}})
            why = "The application failed at this request; the failure is in its log."
            await _error(Request(scope), 500, why)(scope, receive, noting_status)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, scope["method"], status, time.perf_counter() - began)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_ORDER_BYTES:
            raise HTTPException(413, f"An order may have at most {LARGEST_ORDER_BYTES // 1024} KiB; split it.")
    return bytes(body)


def _answer(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        return _error(request, status, str(error), getattr(error, "problems", ()))

    return answer


async def _store_away(request: Request, error: Exception) -> Response:
    why = "The customer database does not answer; please try again shortly. Sending an order again is safe."
    return _error(request, 503, why, headers={"Retry-After": "1"})


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    why = {
        404: "There is nothing at this address; a customer's page is at /customers/ID.",
        405: f"{request.method} is not possible here.",
    }.get(error.status_code, error.detail)
    return _error(request, error.status_code, why, headers=dict(error.headers or {}))


def _error(
    request: Request, status: int, why: str, problems: Any = (), headers: dict[str, str] | None = None
) -> Response:
    """One sentence: as a page for a browser, as JSON for a program."""
    if _wants_page(request):
        return HTMLResponse(page.error(status, why), status_code=status, headers={**page.HEADERS, **(headers or {})})
    body: dict[str, Any] = {"error": why}
    if problems:
        body["problems"] = [{"field": problem.field, "why": problem.why} for problem in problems]
    return JSONResponse(body, status_code=status, headers=headers)


def _wants_page(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    if "text/html" in accept:
        return True
    return "json" not in accept and request.url.path.startswith("/customers/")
