"""The customer's page and the error page: a view in, HTML out. Pure but for reading the templates once.

Here: how money and dates are written for people, and the headers that keep a page to itself. Not here: what is
shown (``view``). The pages load nothing: no script, no font, no picture, and the policy forbids it.
"""

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from apps.c360.view import Money, SingleView

_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
_SIGNS = {"EUR": "€", "GBP": "£", "USD": "$"}

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",  # a customer's page is personal, and stale the moment an order arrives
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def customer(view: SingleView) -> str:
    """The page of one customer."""
    return _CUSTOMER.render(customer=view)


def error(status: int, why: str) -> str:
    """A page that says one sentence."""
    return _ERROR.render(status=status, why=why)


def money(amount: Money) -> str:
    """``€1,234.50``, or ``CHF 1,234.50`` where the currency has no sign of its own."""
    figure = f"{amount.cents // 100:,}.{amount.cents % 100:02d}"
    sign = _SIGNS.get(amount.currency)
    return f"{sign}{figure}" if sign else f"{amount.currency} {figure}"


def day(moment: datetime) -> str:
    """``3 March 2025``, in UTC as everything here."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%B %Y}"


def clock(moment: datetime) -> str:
    """``09:30 UTC``."""
    return f"{moment.astimezone(UTC):%H:%M} UTC"


def figure(value: Money | datetime | int | None) -> str:
    """Any figure's value as people read it; what is not known yet is a dash."""
    if value is None:
        return "–"
    if isinstance(value, Money):
        return money(value)
    return day(value) if isinstance(value, datetime) else f"{value:,}"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {"money": money, "day": day, "clock": clock, "figure": figure}
_ENVIRONMENT.globals["style"] = Markup(_STYLE)  # ours, not a customer's
_CUSTOMER = _ENVIRONMENT.get_template("customer.html")
_ERROR = _ENVIRONMENT.get_template("error.html")
