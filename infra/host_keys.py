"""The keys by which SSH knows an environment's machines, pinned before one of them runs.

Each is made of the stack's one secret and of the machine's name, so that a machine that takes another's place is known
as the one before, and nothing has to be asked of it. The private half leaves as an encrypted parameter that only the
machine's own role may read; the public half goes into the outputs. How a machine takes its key on is in ``boot``.
"""

import base64
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import pulumi
import pulumi_aws as aws
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.labels import Labels

KIND = b"ssh-ed25519"
MAGIC = b"openssh-key-v1\0"
BLOCK = 8


@dataclass(frozen=True, slots=True)
class HostKey:
    """``public`` as known_hosts has it, ``private`` as an SSH server reads it from its file."""

    public: str
    private: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HostKeysArgs:
    labels: Labels
    secret: pulumi.Output[str]
    """The stack's one secret."""
    machines: Sequence[str]


def path(labels: Labels, machine: str) -> str:
    """The parameter that holds a machine's private half."""
    return labels.path("host-keys", machine)


class HostKeys(pulumi.ComponentResource):
    """``public`` has what the outputs pin, by the machine's name."""

    def __init__(self, name: str, args: HostKeysArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("turnabout:infra:HostKeys", name, None, opts)
        environment, self.public = args.labels.environment, dict[str, pulumi.Output[str]]()
        for machine in args.machines:
            key: pulumi.Output[HostKey] = args.secret.apply(partial(host_key, environment=environment, machine=machine))
            aws.ssm.Parameter(
                f"host-key-{machine}",
                name=path(args.labels, machine),
                type="SecureString",
                value=secret(key.apply(lambda key: key.private)),
                tags=args.labels.of(f"host-key-{machine}"),
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.public[machine] = key.apply(lambda key: key.public)
        self.register_outputs({})


def secret(text: pulumi.Output[str]) -> pulumi.Output[str]:
    kept: pulumi.Output[str] = pulumi.Output.secret(text)
    return kept


def host_key(secret: str, environment: str, machine: str) -> HostKey:
    """The same for the same words; nothing that else is made of the secret leads to it."""
    seed = hmac.new(secret.encode(), f"ssh host key/{environment}/{machine}".encode(), hashlib.sha256).digest()
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return HostKey(f"{KIND.decode()} {base64.b64encode(_public(public)).decode()}", _file(seed, public, machine))


def _file(seed: bytes, public: bytes, comment: str) -> str:
    """OpenSSH's own form, which every version reads; written here because libraries put a random number into it."""
    check = hashlib.sha256(b"check" + public).digest()[:4]
    inner = check * 2 + _public(public) + _text(seed + public) + _text(comment.encode())
    inner += bytes(range(1, 1 + -len(inner) % BLOCK))
    whole = MAGIC + _text(b"none") * 2 + _text(b"") + struct.pack(">I", 1) + _text(_public(public)) + _text(inner)
    text = base64.b64encode(whole).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""])


def _public(public: bytes) -> bytes:
    return _text(KIND) + _text(public)


def _text(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content
