"""A device of the tests: raw MQTT over a socket, so that a test decides every byte, and a crowd of them."""

from __future__ import annotations

import json
import socket
import ssl
import threading

from apps.mqtt.tests.running import until
from apps.mqtt.wire.decode import Decoder
from apps.mqtt.wire.fields import Fields, frame
from apps.mqtt.wire.packets import V4, V5, Connect, PubAck, Publish, Subscribe, Will, connack, encode
from apps.mqtt.wire.properties import NONE, Properties
from apps.mqtt.wire.properties import read as read_properties


class Device:
    """Not a client library: it sends what it is told and reports what came back."""

    def __init__(
        self, port: int, name: str = "d1", *, zone: str = "BOS", keep_alive: int = 0, connect: bool = True,
        clean: bool = True, will: Will | None = None, version: int = V4, properties: Properties = NONE,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.topic = f"f/{zone}/{name}/t"
        self.version = version
        self._early: list[tuple[int, bytes]] = []
        self.peer = socket.create_connection(("127.0.0.1", port), 20)
        if tls is not None:
            self.peer = tls.wrap_socket(self.peer, server_hostname="localhost")
        if connect:
            said = Connect(name, keep_alive, clean, will, version=version, properties=properties)
            self.send(encode(said))

    def connected(self) -> Device:
        assert self.receive(4) == connack(0)
        return self

    def send(self, raw: bytes) -> None:
        self.peer.sendall(raw)

    def publish(self, payload: bytes, packet_id: int | None = 1, *, dup: bool = False) -> None:
        qos = 0 if packet_id is None else 1
        self.send(encode(Publish(self.topic, payload, qos, packet_id, dup=dup), self.version))

    def receive(self, count: int) -> bytes:
        """``count`` bytes, or fewer when the peer closed first."""
        got = b""
        while len(got) < count:
            try:
                part = self.peer.recv(count - len(got))
            except ConnectionResetError:
                part = b""
            if not part:
                break
            got += part
        return got

    def packet(self) -> tuple[int, bytes]:
        """The next packet of the server: its first byte and its body; (0, b"") when the peer closed."""
        first, length, shift = self.receive(1), 0, 0
        if not first:
            return 0, b""
        while True:
            (byte,) = self.receive(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return first[0], self.receive(length)

    def opened(self) -> tuple[bool, int, Properties]:
        """The CONNACK: session present, code, properties."""
        first, body = self.packet()
        assert first == 0x20
        told = read_properties(Fields(body[2:]), "connack") if self.version == V5 else NONE
        return bool(body[0]), body[1], told

    def subscribe(self, *filters: tuple[str, int], packet_id: int = 1) -> bytes:
        """The codes of the SUBACK."""
        self.send(encode(Subscribe(packet_id, filters), self.version))
        while (first_and_body := self.packet())[0] & 0xF0 == 0x30:
            self._early.append(first_and_body)  # of another node, from just before
        first, body = first_and_body
        assert (first, int.from_bytes(body[:2], "big")) == (0x90, packet_id)
        return body[3:] if self.version == V5 else body[2:]

    def delivered(self, *, ack: bool = True) -> Publish:
        """The next PUBLISH of the server, acknowledged unless told otherwise."""
        first, body = self._early.pop(0) if self._early else self.packet()
        assert first & 0xF0 == 0x30, (hex(first), body)
        reader = Decoder(2**20, self.version)
        reader.feed(frame(first, body))
        message = reader.next_packet()
        assert isinstance(message, Publish)
        if ack and message.packet_id is not None:
            self.send(encode(PubAck(message.packet_id)))
        return message

    def is_closed_by_peer(self) -> bool:
        """Waits for the peer's close; False when bytes come instead."""
        return self.receive(1) == b""

    def close(self) -> None:
        self.peer.close()


def numbered(seq: int, value: float = 1, epoch: int = 0) -> bytes:
    return json.dumps({"reading": value, "seq": seq, "epoch": epoch}).encode()


class Crowd:
    """Devices that publish as fast as a window of unacknowledged messages allows, until the far end goes away.

    ``acknowledged`` holds (device, epoch, seq) of every message whose PUBACK was read.
    """

    def __init__(self, port: int, zone: str, *, devices: int, epoch: int, window: int = 50) -> None:
        self.acknowledged: set[tuple[str, int, int]] = set()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._publish, args=(port, zone, f"d{number}", epoch, window), daemon=True)
            for number in range(devices)
        ]
        for thread in self._threads:
            thread.start()

    def _publish(self, port: int, zone: str, name: str, epoch: int, window: int) -> None:
        try:
            device = Device(port, name, zone=zone).connected()
            seq = 0
            while not self._stop.is_set():
                packets = [
                    encode(Publish(device.topic, numbered(seq + step, step, epoch), 1, step + 1))
                    for step in range(window)
                ]
                device.send(b"".join(packets))
                for _ in range(window):
                    answer = device.receive(4)
                    if len(answer) < 4:
                        return
                    assert answer[:2] == b"\x40\x02"
                    self.acknowledged.add((name, epoch, seq + int.from_bytes(answer[2:], "big") - 1))
                seq += window
        except OSError:
            return  # killed under it: what was not acknowledged does not count

    def wait_for(self, count: int) -> None:
        until(lambda: len(self.acknowledged) > count)

    def stop(self) -> set[tuple[str, int, int]]:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        return self.acknowledged
