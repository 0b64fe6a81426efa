"""The codec under atheris, which looks for bytes that take it down a new way: ``make fuzz`` for as long as one likes,
``test_fuzz.py`` for a moment. Options are libFuzzer's, and the last argument is the folder of what led somewhere new.

``tried`` is what must hold for any bytes; ``test_fuzz.py`` tries it on what broke the codec once, too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FunctionType

from apps.mqtt.wire import decode, fields, proxy
from apps.mqtt.wire.decode import Decoder, Malformed
from apps.mqtt.wire.packets import (
    V4,
    V5,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
    encode,
)  # fmt: skip

LIMIT = 4096
MISSING = "atheris is not here: it has wheels for Linux on x86_64, Python 3.11 to 3.13."
BOUNDS = ("-timeout=5", "-rss_limit_mb=256", "-max_len=6000")  # no hang, and no memory without a bound
SEEDS = [
    b"".join(encode(packet, version) for packet in (
        Connect("a", 60, will=Will("t", b"x", 1), username="u", password=b"p", version=version),
        Publish("f/B/a/t", b"21", 1, 7), PubAck(7), Subscribe(1, (("f/#", 1),)), Unsubscribe(2, ("+",)), Disconnect(),
    )) for version in (V4, V5)
] + [proxy.write("a"), encode(Publish("t", b"x", properties={"content_type": "json"}), V5)]  # fmt: skip


def tried(raw: bytes) -> None:
    """The first byte says the version and how the rest is cut. Anything but Malformed is a fault, and raises."""
    if not raw:
        return
    version, size, stream = (V5 if raw[0] & 1 else V4), (raw[0] >> 1) + 1, raw[1:]
    whole = packets_of([stream], version)
    in_pieces = packets_of([stream[at : at + size] for at in range(0, len(stream), size)], version)
    assert whole == in_pieces, (whole, in_pieces)
    try:
        header = proxy.read(stream)
        assert header is None or header.length <= len(stream)
    except Malformed as broken:
        assert broken.why


def packets_of(chunks: list[bytes], version: int) -> tuple[list[Packet], str | None]:
    """What was read, and why no more could be. What was read is written as bytes that read as the same."""
    decoder, read = Decoder(LIMIT, version), list[Packet]()
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            while (packet := decoder.next_packet()) is not None:
                assert again(packet, decoder.version) == packet
                read.append(packet)
            assert len(decoder._buffer) <= LIMIT + len(chunk)  # whatever came before
    except Malformed as broken:
        assert broken.why
        assert 0x80 <= broken.reason <= 0xA2
        return read, broken.why
    return read, None


def again(packet: Packet, version: int) -> Packet | None:
    if isinstance(packet, PubAck):
        return packet  # a server's has no properties
    decoder = Decoder(LIMIT, version)
    decoder.feed(encode(packet, version))
    return decoder.next_packet()


if __name__ == "__main__":
    try:
        import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ModuleNotFoundError:
        sys.exit(MISSING)

    for number, seed in enumerate(SEEDS):
        (Path(sys.argv[-1]) / f"seed-{number}").write_bytes(bytes((number % 2 | 30,)) + seed)
    modules = [found for name, found in sys.modules.items() if name.startswith("apps.mqtt.wire.")]
    parts = [part for each in (*modules, decode.Decoder, fields.Fields) for part in vars(each).values()]
    for function in {part for part in parts if isinstance(part, FunctionType)}:
        atheris.instrument_func(function)
    atheris.Setup([sys.argv[0], *BOUNDS, *sys.argv[1:]], tried)
    atheris.Fuzz()
