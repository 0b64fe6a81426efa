"""What a SUBSCRIBE is answered with, filter by filter, and which filters want what is retained. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from apps.mqtt.broker.access import SHARED, Access
from apps.mqtt.broker.session import ALWAYS, HANDLING, QOS, WHEN_NEW, Session
from apps.mqtt.log import log
from apps.mqtt.wire import reasons
from apps.mqtt.wire.packets import V5

MOST_QOS = 1
MOST_SUBSCRIPTIONS = 100  # of one client


@dataclass(frozen=True, slots=True)
class Asked:
    """A filter that was granted, with its options; ``again``: the session had it before."""

    pattern: str
    options: int
    again: bool

    @property
    def wants_retained(self) -> bool:
        handling = self.options & HANDLING
        return handling == ALWAYS or (handling == WHEN_NEW and not self.again)


def answer(access: Access, session: Session, pattern: str, options: int) -> int:
    """The quality of service that is granted, or the reason why none is; 3.1.1 knows one reason for all."""
    reason = _refusal(access, session, pattern)
    if reason is None:
        return min(options & QOS, MOST_QOS)
    return reason if session.limits.version == V5 else reasons.UNSPECIFIED


def _refusal(access: Access, session: Session, pattern: str) -> int | None:
    if pattern.startswith(SHARED):
        return reasons.SHARED_NOT_SUPPORTED
    if not access.may_subscribe(session.client, pattern):
        log("subscribe_refused", client=session.client, filter=pattern[:200], why="it is outside of its topics")
        return reasons.NOT_AUTHORIZED
    if len(session.subscriptions) >= MOST_SUBSCRIPTIONS and pattern not in session.subscriptions:
        return reasons.QUOTA_EXCEEDED
    return None
