"""The codec: good bytes, bad bytes, and that what is written reads back however the stream is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.mqtt.wire.decode import Decoder, Malformed, WrongVersion
from apps.mqtt.wire.packets import (
    V5,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
    connack,
    encode,
    puback,
    suback,
    unsuback,
)
from apps.mqtt.wire.properties import TABLE, Properties

GOOD: list[tuple[str, Packet]] = [
    ("10 0d 0004 4d515454 04 02 003c 0001 61", Connect("a", 60)),
    ("10 0d 0004 4d515454 04 00 0000 0001 61", Connect("a", clean_session=False)),
    (
        "10 1b 0004 4d515454 04 f6 0000 0001 61 0001 74 0002 0102 0001 75 0002 7077",
        Connect("a", 0, True, Will("t", b"\1\2", 2, True), "u", b"pw"),
    ),
    ("30 05 0003 612f62", Publish("a/b", b"")),
    ("31 06 0003 612f62 78", Publish("a/b", b"x", retain=True)),
    ("32 08 0003 612f62 000a 78", Publish("a/b", b"x", 1, 10)),
    ("3a 08 0003 612f62 ffff 78", Publish("a/b", b"x", 1, 65535, dup=True)),
    ("34 08 0003 612f62 0001 78", Publish("a/b", b"x", 2, 1)),
    ("40 02 0007", PubAck(7)),
    ("82 0b 0001 0001 23 00 0002 612f 01", Subscribe(1, (("#", 0), ("a/", 1)))),
    ("a2 05 0001 0001 2b", Unsubscribe(1, ("+",))),
    ("c0 00", PingReq()),
    ("e0 00", Disconnect()),
    ("c0 80 00", PingReq()),  # 3.1.1 does not demand the shortest form of a length
]

BAD: list[tuple[str, str]] = [
    ("00", "a first byte of no packet"),
    ("f0 00", "the reserved type"),
    ("20 02 0000", "a server's packet"),
    ("36 08 0003 612f62 0001 78", "quality of service 3"),
    ("38 06 0003 612f62 78", "DUP at quality of service 0"),
    ("62 02 0001", "PUBREL of a handshake that was never opened"),
    ("80 06 0001 0001 61 00", "SUBSCRIBE without its reserved bit"),
    ("c1 00", "PINGREQ with a flag"),
    ("c0 01 00", "PINGREQ with a body"),
    ("e0 01 00", "DISCONNECT with a body"),
    ("30 80 80 80 80 01", "a length of five bytes"),
    ("30 ff ff 7f", "a packet over the limit"),
    ("30 00", "PUBLISH without a topic"),
    ("30 02 0000", "PUBLISH with an empty topic"),
    ("30 03 0005 61", "a topic longer than its packet"),
    ("32 04 0001 61 00", "half a packet id"),
    ("32 05 0001 61 0000", "packet id 0"),
    ("30 03 0001 2b", "a wildcard + in a topic"),
    ("30 05 0003 612f23", "a wildcard # in a topic"),
    ("30 03 0001 00", "NUL in a topic"),
    ("30 05 0003 eda080", "a surrogate in a topic"),
    ("30 04 0002 c328", "a topic that is not UTF-8"),
    ("40 02 0000", "PUBACK of packet id 0"),
    ("40 03 0001 00", "PUBACK with a byte too many"),
    ("82 02 0001", "SUBSCRIBE without a filter"),
    ("82 06 0001 0001 61 03", "SUBSCRIBE at quality of service 3"),
    ("82 08 0001 0003 232f61 00", "# before the end of a filter"),
    ("82 07 0001 0002 6123 00", "# inside a level"),
    ("a2 02 0001", "UNSUBSCRIBE without a filter"),
    ("10 0d 0004 4d515454 04 03 003c 0001 61", "CONNECT with its reserved bit"),
    ("10 0d 0004 4d515454 04 22 003c 0001 61", "retain of a will that is not there"),
    ("10 0d 0004 4d515454 04 1e 003c 0001 61", "a will of quality of service 3"),
    ("10 10 0004 4d515454 04 42 003c 0001 61 0001 70", "a password without a user"),
    ("10 0e 0004 4d515454 04 02 003c 0001 61 00", "CONNECT with a byte too many"),
    ("10 0c 0004 4d515454 04 02 003c 0001", "CONNECT that ends in its client id"),
    ("10 0d 0004 4d515455 04 02 003c 0001 61", "the name of another protocol"),
]


def decoder(*chunks: bytes, limit: int = 16_384) -> Decoder:
    made = Decoder(limit)
    for chunk in chunks:
        made.feed(chunk)
    return made


@pytest.mark.parametrize(("text", "packet"), GOOD)
def test_good_bytes_are_the_packet(text: str, packet: Packet) -> None:
    made = decoder(bytes.fromhex(text))
    assert made.next_packet() == packet
    assert made.next_packet() is None


@pytest.mark.parametrize(("text", "what"), BAD, ids=[what for _, what in BAD])
def test_bad_bytes_are_malformed(text: str, what: str) -> None:
    with pytest.raises(Malformed) as caught:
        decoder(bytes.fromhex(text)).next_packet()
    assert not isinstance(caught.value, WrongVersion)
    assert caught.value.why


@pytest.mark.parametrize(
    "text", ["10 0e 0004 4d515454 06 02 003c 00 0001 61", "10 0f 0006 4d5149736470 03 02 003c 0001 61"]
)
def test_another_version_is_told_apart_from_garbage(text: str) -> None:
    with pytest.raises(WrongVersion):
        decoder(bytes.fromhex(text)).next_packet()


def test_size_is_refused_before_the_body_comes() -> None:
    body = 100
    whole = encode(Publish("t", b"x" * (body - 3)))
    assert decoder(whole, limit=len(whole)).next_packet() == Publish("t", b"x" * (body - 3))
    with pytest.raises(Malformed, match="over the limit"):
        decoder(whole[:2], limit=len(whole) - 1).next_packet()


def test_packets_before_a_broken_one_are_read() -> None:
    made = decoder(encode(PingReq()) + b"\x00")
    assert made.next_packet() == PingReq()
    with pytest.raises(Malformed):
        made.next_packet()


def test_answers_are_what_the_standard_says() -> None:
    assert connack(2) == bytes.fromhex("20020002")
    assert puback(258) == bytes.fromhex("40020102")
    assert suback(1, b"\x80\x80") == bytes.fromhex("900400018080")
    assert unsuback(1) == bytes.fromhex("b0020001")


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
topics = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=40)
levels = st.one_of(st.just("+"), topics.map(lambda name: name.replace("/", "_")))
filters = st.builds(
    lambda parts, rest: "/".join(parts + rest), st.lists(levels, min_size=1), st.sampled_from([[], ["#"]])
)
ids = st.integers(1, 65535)
blobs = st.binary(max_size=300)
wills = st.builds(Will, topics, blobs, st.integers(0, 2), st.booleans())
connects = st.one_of(
    st.builds(Connect, text, st.integers(0, 65535), st.booleans(), st.none() | wills, text, st.none() | blobs),
    st.builds(Connect, text, st.integers(0, 65535), st.booleans(), st.none() | wills),
)
v5_values: dict[str, st.SearchStrategy[Any]] = {
    "byte": st.integers(0, 1), "two": st.integers(1, 65535), "four": st.integers(1, 2**32 - 1),
    "varint": st.integers(1, 2**28 - 1), "text": text, "binary": blobs,
    "pair": st.lists(st.tuples(text, text), min_size=1, max_size=3).map(tuple),
}  # fmt: skip


def told(packet: str, *without: str) -> st.SearchStrategy[Properties]:
    """Any properties that may stand in this packet."""
    known = {each.name: v5_values[each.kind] for each in TABLE if packet in each.packets and each.name not in without}
    return st.fixed_dictionaries({}, optional=known)


v5_wills = st.builds(Will, topics, blobs, st.integers(0, 2), st.booleans(), told("will"))
v5_options = st.sampled_from([0, 1, 2, 5, 9, 0x0C, 0x15, 0x2E])
any_v5_packet = st.one_of(
    st.builds(Publish, topics, blobs, st.just(0), st.none(), st.booleans(), st.just(False),
              told("publish", "topic_alias", "subscription_identifier")),
    st.builds(Publish, topics, blobs, st.integers(1, 2), ids, st.booleans(), st.booleans(),
              told("publish", "topic_alias", "subscription_identifier")),
    st.builds(PubAck, ids),
    st.builds(Subscribe, ids, st.lists(st.tuples(filters, v5_options), min_size=1, max_size=4).map(tuple),
              told("subscribe")),
    st.builds(Unsubscribe, ids, st.lists(filters, min_size=1, max_size=4).map(tuple), told("unsubscribe")),
    st.just(PingReq()),
    st.builds(Disconnect, st.integers(1, 255), told("disconnect")),
)  # fmt: skip
v5_connects = st.builds(Connect, text, st.integers(0, 65535), st.booleans(), st.none() | v5_wills, st.none() | text,
                        st.none() | blobs, st.just(V5), told("connect"))  # fmt: skip
any_packet = st.one_of(
    connects,
    st.builds(Publish, topics, blobs, st.just(0), st.none(), st.booleans()),
    st.builds(Publish, topics, blobs, st.integers(1, 2), ids, st.booleans(), st.booleans()),
    st.builds(PubAck, ids),
    st.builds(Subscribe, ids, st.lists(st.tuples(filters, st.integers(0, 2)), min_size=1, max_size=4).map(tuple)),
    st.builds(Unsubscribe, ids, st.lists(filters, min_size=1, max_size=4).map(tuple)),
    st.just(PingReq()),
    st.just(Disconnect()),
)


@given(st.lists(any_packet, max_size=6), st.lists(st.integers(0, 4000), max_size=8))
def test_what_is_written_reads_back_however_it_is_cut(sent: list[Packet], cuts: list[int]) -> None:
    stream = b"".join(map(encode, sent))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    made, read = Decoder(16_384), []
    for start, end in pairwise(edges):
        if start < end:
            made.feed(stream[start:end])
        while (packet := made.next_packet()) is not None:
            read.append(packet)
    assert read == sent


@given(v5_connects, st.lists(any_v5_packet, max_size=5), st.lists(st.integers(0, 4000), max_size=8))
def test_version_5_reads_back_too_from_its_connect_on(first: Connect, more: list[Packet], cuts: list[int]) -> None:
    stream = b"".join(encode(packet, V5) for packet in (first, *more))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    made, read = Decoder(2**20), []
    for start, end in pairwise(edges):
        if start < end:
            made.feed(stream[start:end])
        while (packet := made.next_packet()) is not None:
            read.append(packet)
    assert read == [first, *more]


@given(v5_connects, st.lists(any_v5_packet, max_size=3), st.data())
def test_a_damaged_stream_is_read_or_malformed_and_nothing_else(
    first: Connect, more: list[Packet], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(encode(packet, V5) for packet in (first, *more)))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    made = Decoder(2**20)
    made.feed(bytes(stream))
    try:
        while made.next_packet() is not None:
            pass
    except Malformed as broken:
        assert broken.why
        assert 0x80 <= broken.reason <= 0xA2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10 13 0004 4d515454 05 02 0000 05 21 0001 21 00 0001 61", 0x81),
        ("10 11 0004 4d515454 05 02 0000 03 21 0000 0001 61", 0x82),
        ("10 14 0004 4d515454 05 02 0000 06 21 0001 21 0005 0001 61", 0x82),
        ("10 10 0004 4d515454 05 02 0000 02 17 02 0001 61", 0x82),
        ("10 10 0004 4d515454 05 02 0000 02 24 01 0001 61", 0x81),
        ("10 10 0004 4d515454 05 02 0000 02 7f 01 0001 61", 0x81),
        ("10 12 0004 4d515454 05 02 0000 ff ff ff ff 01 0001 61", 0x81),
        ("10 0e 0004 4d515454 05 02 0000 09 0001 61", 0x81),
    ],
    ids=["cut in a property", "Receive Maximum 0", "a property twice", "a flag of 2", "a server's property",
         "an unknown property", "a length of five bytes", "properties longer than the packet"],
)  # fmt: skip
def test_bad_properties_are_told_apart(text: str, reason: int) -> None:
    with pytest.raises(Malformed) as caught:
        decoder(bytes.fromhex(text)).next_packet()
    assert caught.value.reason == reason


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_do_more_than_be_malformed(chunks: list[bytes]) -> None:
    made = Decoder(64)
    try:
        for chunk in chunks:
            made.feed(chunk)
            while made.next_packet() is not None:
                pass
    except Malformed:
        pass
