"""AWS that is hindered: it has too much to do, breaks off in the middle of a page, or says what makes no sense."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

pytest.importorskip("pulumi", reason="its libraries are not here: `make infra` installs them")
pytest.importorskip("moto")

from controller.drift.finding import State
from controller.drift.same import Account
from controller.errors import Unreachable
from controller.glass.drifting import asked, blind
from controller.observers import aws_calls
from controller.observers.aws import EVERY, AwsAccount
from tests.infra.emulated.cloud import EmulatedCloud
from tests.infra.filled import fill

BUSY = b"""<?xml version="1.0"?><Response><Errors><Error><Code>RequestLimitExceeded</Code>
<Message>Request limit exceeded.</Message></Error></Errors><RequestID>1</RequestID></Response>"""


class Way(ThreadingHTTPServer):
    """The way to a cloud: what somebody asks is asked there, and what is answered comes back as ``how`` says."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), Hindered)
        self.there = urlsplit(endpoint).netloc
        self.busy = 0
        """So many more calls are told that there are too many."""
        self.how = "whole"


class Hindered(BaseHTTPRequestHandler):
    """One call on its way."""

    server: Way

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.busy:
            self.server.busy -= 1
            return self.say(503, "text/xml", BUSY)
        there = http.client.HTTPConnection(self.server.there)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        content, kind = answer.read(), answer.getheader("Content-Type") or ""
        there.close()
        if self.server.how != "whole" and b"DescribeSubnets" in body:
            if self.server.how == "cut":
                self.say(answer.status, kind, content[: len(content) // 2])
            elif self.server.how == "broken off":
                self.say(answer.status, kind, content[: len(content) // 2], len(content))
            else:
                self.say(answer.status, kind, b"<html>Please log in.</html>")
            return None
        return self.say(answer.status, kind, content)

    do_GET = do_PUT = do_HEAD = do_POST  # noqa: N815 - http.server's names

    def say(self, status: int, kind: str, content: bytes, promised: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if promised is None else promised))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def cloud() -> Iterator[EmulatedCloud]:
    with EmulatedCloud(opted_in=("us-east-1-wl1",)) as cloud:
        fill(cloud.client, "prod")
        yield cloud


@pytest.fixture
def way(cloud: EmulatedCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    with Way(cloud.endpoint) as way:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{way.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        Thread(target=way.serve_forever, daemon=True).start()
        yield way
        way.shutdown()


def look() -> Account:
    return AwsAccount(aws_calls.clients("us-east-1")).look("prod")


def test_a_call_that_is_throttled_is_tried_again_until_it_is_answered(way: Way) -> None:
    way.busy = 2
    account = look()
    assert (way.busy, account.blind) == (0, {})
    assert len(account.found) > 100


def test_a_cloud_that_throttles_for_ever_is_not_looked_at_and_never_aligned(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_calls, "TRIES", 2)
    way.busy = 99
    account = asked(look, EVERY)
    assert not account.found and not account.kinds
    assert {*account.blind} == EVERY
    (why,) = {*account.blind.values()}
    assert why == "asking AWS to describe_vpcs: RequestLimitExceeded: Request limit exceeded. Try again later."


SAYS = {"cut": "its answer is not whole (", "broken off": "", "another's": "its answer has no Subnets"}


@pytest.mark.parametrize("how", SAYS)
def test_a_page_that_is_not_whole_is_not_taken_for_one(way: Way, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_calls, "TRIES", 1)
    way.how = how
    with pytest.raises(Unreachable) as no:
        look()
    assert str(no.value).startswith(f"asking AWS to describe_subnets: {SAYS[how]}")


def test_kinds_that_nobody_can_describe_are_not_looked_at_and_named() -> None:
    account = Account((), frozenset({"aws.ec2.Vpc"}), {"aws.iam.Role": "AccessDenied: You may not."})
    denied, unknown = blind("prod", account, {"aws.ec2.Vpc", "aws.iam.Role", "aws.sns.Topic", "aws.route53.Zone"})
    assert denied.state is unknown.state is State.UNSEEN
    assert denied.why == "Not everything could be seen. aws.iam.Role: AccessDenied: You may not."
    assert unknown.what == "2 kinds of prod's resources were not looked at"
    assert unknown.why.endswith("cannot be described here yet: aws.route53.Zone, aws.sns.Topic.")
    assert unknown.remedies[0].does == "turnabout infra refresh prod"
