"""Signatures, digests and counting of the node program: values in, values out."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.node.counting import EDGES_MS, Events, matches
from controller.node.ed25519 import verify
from controller.node.manifest import canonical, config_digest, release_digest

RFC_8032 = [  # public key, message, signature (section 7.1, tests 1 to 3)
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032_verify(key: str, message: str, signature: str) -> None:
    public, words, signed = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify(public, words, signed)
    assert not verify(public, words + b"!", signed)
    for position in (0, 31, 32, 62):
        altered = bytearray(signed)
        altered[position] ^= 1
        assert not verify(public, words, bytes(altered))


@settings(max_examples=20, deadline=None)
@given(message=st.binary(max_size=300), seed=st.binary(min_size=32, max_size=32))
def test_what_another_implementation_signs_verifies(message: bytes, seed: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert verify(public, message, signature)
    assert not verify(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), message, signature)


def test_a_signature_has_one_form_only() -> None:
    key = Ed25519PrivateKey.generate()
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"m")
    order = 2**252 + 27742317777372353535851937790883648493
    shifted = int.from_bytes(signature[32:], "little") + order
    assert not verify(public, b"m", signature[:32] + shifted.to_bytes(32, "little"))
    assert not verify(public, b"m", signature[:63])
    assert not verify(public[:31], b"m", signature)
    assert not verify(b"\xff" * 32, b"m", signature)  # no point of the curve


def test_canonical_json_is_sorted_tight_and_utf_8() -> None:
    assert canonical({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'.encode()
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": float("nan")})
    assert config_digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert release_digest("x", "y") != release_digest("y", "x")


# ---- counting


def events(*lines: str, at: float = 10.0) -> Events:
    counted = Events()
    counted.use(["/v1/devices/*/latest", "/v1/*"])
    for line in lines:
        counted.note(line.encode(), at)
    return counted


@pytest.mark.parametrize(
    ("path", "pattern", "same"),
    [
        ("/v1/devices/d1/latest", "/v1/devices/*/latest", True),
        ("/v1/devices/d1/x/latest", "/v1/devices/*/latest", False),
        ("/v1/devices", "/v1/*", True),
        ("/v1/devices/d1", "/v1/*", False),
        ("/V1/devices", "/v1/*", False),
    ],
)
def test_a_pattern_matches_segment_by_segment(path: str, pattern: str, same: bool) -> None:
    assert matches(path, pattern) is same


def test_what_goes_through_the_balancer_is_added_up_in_bytes_where_it_says_them() -> None:
    counted = events(
        "http|http|bos-a|200|7,120,900|--|c1|POST|/orders", "http|http|bos-a|200|+7,80,100|--|c2|GET|/",
        "http|http|bos-a|200|7|--|c3|GET|/",
    )  # fmt: skip
    (row,) = counted.listed()
    assert (row["total"], row["bytes_in"], row["bytes_out"]) == (3, 200, 1000)
    assert sum(row["buckets"]) == 3
    (session,) = events("tcp|mqtt|bos-a|10.0.0.1:500|900,4096,64|--|d1|end|").listed()
    assert (session["bytes_in"], session["bytes_out"]) == (4096, 64)


@pytest.mark.parametrize(
    ("status", "termination", "bad"),
    [
        ("200", "--", 0),
        ("499", "--", 0),
        ("500", "--", 1),
        ("503", "SC", 1),
        ("-1", "CD", 1),
        ("200", "SD", 1),
        ("200", "sH", 0),
    ],
)
def test_what_counts_as_a_bad_request(status: str, termination: str, bad: int) -> None:
    (row,) = events(f"http|http|bos-a|{status}|7|{termination}|c1|GET|/v1/x").listed()
    assert (row["total"], row["bad"], row["bad_clients"]) == (1, bad, bad)


def test_rows_are_by_backend_server_and_first_matching_class() -> None:
    counted = events(
        "http|http|bos-a|200|1|--|c1|GET|/v1/devices/d7/latest?at=1",
        "http|http|bos-a|200|6|--|c1|GET|/v1/devices/d8/latest",
        "http|http|bos-b|200|9999|--|c1|GET|/v1/devices/d8/latest",
        "http|http|bos-a|500|+3|--|c1|GET|/a|b",
    )
    rows = {(row["server"], row["class"]): row for row in counted.listed()}
    assert {key: row["total"] for key, row in rows.items()} == {
        ("bos-a", "/v1/devices/*/latest"): 2,
        ("bos-b", "/v1/devices/*/latest"): 1,
        ("bos-a", "other"): 1,
    }
    buckets = rows["bos-a", "/v1/devices/*/latest"]["buckets"]
    assert (buckets[0], buckets[EDGES_MS.index(7)], sum(buckets), len(buckets)) == (1, 1, 2, len(EDGES_MS) + 1)
    assert rows["bos-b", "/v1/devices/*/latest"]["buckets"][-1] == 1
    assert [sample["path"] for sample in counted.samples] == ["/a|b"]


def asked(*calls: tuple[float, str, int]) -> dict[str, int]:
    """The row of calls: when, by whom, and their status."""
    counted = Events()
    for at, client, status in calls:
        counted.note(f"http|http|s|{status}|1|--|{client}|GET|/".encode(), at)
    (row,) = counted.listed()
    return {key: row[key] for key in ("total", "bad", "clients", "bad_clients")}


def test_a_client_counts_once_a_second_and_its_failure_once() -> None:
    calls = [(10.1, "a", 500), (10.9, "a", 500), (10.9, "b", 200), (11.0, "a", 200), (11.5, "b", 500)]
    assert asked(*calls) == {"total": 5, "bad": 3, "clients": 3, "bad_clients": 2}


def test_a_client_that_retries_for_seconds_is_one_failure_and_counts_no_more_until_they_are_over() -> None:
    retries = [(second + 0.5, "a", 503) for second in range(10, 15)]
    assert asked(*retries) == {"total": 5, "bad": 5, "clients": 1, "bad_clients": 1}
    assert asked(*retries, (14.9, "b", 200)) == {"total": 6, "bad": 5, "clients": 2, "bad_clients": 1}
    assert asked(*retries, (15.1, "a", 200)) == {"total": 6, "bad": 5, "clients": 2, "bad_clients": 1}
    assert asked(*retries, (15.1, "a", 503)) == {"total": 6, "bad": 6, "clients": 2, "bad_clients": 2}


def test_when_everybody_fails_all_of_the_clients_that_count_are_bad() -> None:
    calls = [(10 + second / 2, f"c{second % 8}", 500) for second in range(60)]
    counted = asked(*calls)
    assert counted["clients"] == counted["bad_clients"] < counted["bad"] == 60


def test_tcp_sessions_count_at_their_end_and_a_drain_of_our_own_is_not_bad() -> None:
    counted = events("tcp|mqtt|bos-a|10.0.0.1:500|3|--|d1|start|", "tcp|mqtt|bos-a|10.0.0.2:500|3|--|d2|start|")
    assert counted.listed() == []
    assert counted.elsewhere("mqtt/bos-b", 10.0) == ["10.0.0.1:500", "10.0.0.2:500"]
    counted.note(b"tcp|mqtt|bos-a|10.0.0.1:500|900|SD|d1|end|", 11.0)
    assert counted.elsewhere("mqtt/bos-b", 10.0) == ["10.0.0.2:500"]
    counted.drained = lambda server: server == "mqtt/bos-a"
    counted.note(b"tcp|mqtt|bos-a|10.0.0.2:500|900|SD|d2|end|", 11.0)
    (row,) = counted.listed()
    assert (row["total"], row["bad"]) == (2, 1)
    assert sum(row["buckets"]) == 0, "how long a device stayed is no latency"


def test_the_end_of_an_old_session_does_not_forget_the_new_one() -> None:
    counted = events("tcp|mqtt|bos-a|10.0.0.1:500|3|--|d1|start|", "tcp|mqtt|bos-b|10.0.0.1:501|3|--|d1|start|")
    counted.note(b"tcp|mqtt|bos-a|10.0.0.1:500|9|K|d1|end|", 11.0)
    assert counted.elsewhere("mqtt/bos-a", 10.0) == ["10.0.0.1:501"]


def test_who_came_while_a_server_was_drained_is_known_by_when_and_where() -> None:
    counted = events("tcp|mqtt|bos-b|10.0.0.1:500|3|--|d1|start|", at=10.0)
    for source, backend, server in (("10.0.0.2:1", "mqtt", "bos-b"), ("10.0.0.3:1", "mqtt", "bos-a")):
        counted.note(f"tcp|{backend}|{server}|{source}|3|--|{source}|start|".encode(), 12.0)
    counted.note(b"tcp|other|bos-b|10.0.0.4:1|3|--|d4|start|", 12.0)
    assert counted.elsewhere("mqtt/bos-a", 11.0) == ["10.0.0.2:1"]


@given(line=st.binary(max_size=80) | st.text(alphabet="htpc|0-9S/", max_size=60).map(str.encode))
def test_no_line_can_stop_the_counting(line: bytes) -> None:
    Events().note(line, 1.0)
