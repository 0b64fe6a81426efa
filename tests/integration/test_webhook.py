"""The webhook on a real socket: believed when it is signed, and a nuisance to nobody when it is not."""

from __future__ import annotations

import http.client
import json
import queue
import socket
from collections.abc import Iterator

import pytest

from controller.sources.webhook import CALLERS, LONGEST_BODY, Webhook, branch_of, signature

SECRET = b"shared secret"
PUSH = json.dumps({"ref": "refs/heads/prod", "after": "0" * 40}).encode()
Hints = queue.Queue[str | None]


@pytest.fixture
def hints() -> Hints:
    return queue.Queue()


@pytest.fixture
def hook(hints: Hints) -> Iterator[Webhook]:
    made = Webhook(("127.0.0.1", 0), SECRET, hints.put, seconds=1.0)
    yield made
    made.stop()


def post(hook: Webhook, body: bytes, said: str | None, method: str = "POST") -> tuple[int, str]:
    connection = http.client.HTTPConnection(*hook.address, timeout=10)
    try:
        connection.request(method, "/", body, {"X-Hub-Signature-256": said} if said is not None else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_signature_is_the_one_that_github_documents() -> None:
    assert signature(b"It's a Secret to Everybody", b"Hello, World!") == (
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    )


def test_a_signed_call_is_a_hint_about_its_branch(hook: Webhook, hints: Hints) -> None:
    assert post(hook, PUSH, signature(SECRET, PUSH)) == (202, "Thank you; the repository is looked at.\n")
    assert hints.get(timeout=5) == "prod"


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"ref": 3}', b'{"ref": "refs/tags/v1"}'])
def test_a_signed_call_that_names_no_branch_is_a_hint_all_the_same(hook: Webhook, hints: Hints, body: bytes) -> None:
    assert branch_of(body) is None
    assert post(hook, body, signature(SECRET, body))[0] == 202
    assert hints.get(timeout=5) is None


@pytest.mark.parametrize(
    "said", [None, "", "sha256=", signature(b"other", PUSH), signature(SECRET, PUSH + b" "), "sha256=\xfc"]
)
def test_a_call_that_is_not_signed_is_not_believed(hook: Webhook, hints: Hints, said: str | None) -> None:
    assert post(hook, PUSH, said) == (403, "The signature in X-Hub-Signature-256 is not that of this body.\n")
    assert hints.empty()


def test_a_body_that_is_too_long_is_not_read(hook: Webhook, hints: Hints) -> None:
    for length in (str(LONGEST_BODY + 1), "9" * 5000):
        with socket.create_connection(hook.address, timeout=10) as caller:
            caller.sendall(b"POST / HTTP/1.1\r\nContent-Length: " + length.encode() + b"\r\n\r\n")
            assert caller.recv(1000).startswith(b"HTTP/1.0 413 ")
    assert hints.empty()


def test_a_body_of_unknown_length_is_not_read(hook: Webhook, hints: Hints) -> None:
    for header in (b"", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n"):
        with socket.create_connection(hook.address, timeout=10) as caller:
            caller.sendall(b"POST / HTTP/1.1\r\n" + header + b"\r\n")
            assert caller.recv(1000).startswith(b"HTTP/1.0 411 ")
    assert hints.empty()


def test_only_post_is_taken(hook: Webhook, hints: Hints) -> None:
    assert post(hook, b"", None, "GET") == (405, "This address takes POST.\n")
    assert hints.empty()


def until_closed(caller: socket.socket) -> bytes:
    caller.settimeout(10)
    received = b""
    try:
        while more := caller.recv(1000):
            received += more
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("start", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"])
def test_a_silent_caller_is_hung_up_on(hook: Webhook, hints: Hints, start: bytes) -> None:
    with socket.create_connection(hook.address) as caller:
        caller.sendall(start)
        assert b"202" not in until_closed(caller)
    assert hints.empty()


def test_a_caller_that_drips_is_hung_up_on(hook: Webhook, hints: Hints) -> None:
    """Every byte comes well before a read would time out; the call as a whole takes too long."""
    with socket.create_connection(hook.address) as caller:
        caller.sendall(b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n")
        caller.settimeout(0.1)
        for _ in range(100):
            try:
                caller.sendall(b"a")
                if caller.recv(1000) == b"":
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        else:
            raise AssertionError("the caller was never hung up on")
    assert hints.empty()


def test_many_silent_callers_do_not_keep_others_out_for_long(hook: Webhook, hints: Hints) -> None:
    silent = [socket.create_connection(hook.address) for _ in range(3 * CALLERS)]
    try:
        for caller in silent:
            until_closed(caller)
        assert post(hook, PUSH, signature(SECRET, PUSH))[0] == 202
        assert hints.get(timeout=5) == "prod"
    finally:
        for caller in silent:
            caller.close()


def test_a_webhook_without_a_secret_is_not_made(hints: Hints) -> None:
    with pytest.raises(ValueError, match="A webhook needs a secret"):
        Webhook(("127.0.0.1", 0), b"", hints.put)
