"""SSH signatures (OpenSSH's PROTOCOL.sshsig) by Ed25519 keys, for machines that have git and no ``ssh-keygen``.

``python -m controller.sources.sshsig`` understands the calls that git makes of its ``gpg.ssh.program``: ``-Y sign``,
``verify``, ``find-principals`` and ``check-novalidate``. Keys of other kinds, certificates and binary revocation lists
are refused, never overlooked. Which key the controller signs with is said in ``keys``.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import getopt
import hashlib
import os
import re
import shlex
import shutil
import stat
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

MAGIC = b"SSHSIG"
KIND = b"ssh-ed25519"
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


class BadSignature(Exception):
    """The signature, or what it is to be checked with, cannot be believed; the message says why."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A line of an allowed_signers file. ``key`` is the public key as SSH encodes it."""

    principals: str
    options: dict[str, str]
    key: bytes

    def may(self, time: str) -> bool:
        """Whether the line is in force at ``time``, written YYYYMMDDHHMMSS; "" asks for no time."""
        after, before = self.options.get("valid-after", ""), self.options.get("valid-before", "")
        return not time or ((not after or time >= _digits(after)) and (not before or time < _digits(before)))

    def names(self, principal: str) -> bool:
        return _matches(principal, self.principals)

    def covers(self, namespace: str) -> bool:
        return "namespaces" not in self.options or _matches(namespace, self.options["namespaces"])


# ---- signatures ---------------------------------------------------------------------------------------------------


def sign(private: Ed25519PrivateKey, namespace: str, message: bytes) -> str:
    """The armoured signature of ``message``, good for ``namespace`` only."""
    public = _string(KIND) + _string(private.public_key().public_bytes_raw())
    name, digest = b"sha512", hashlib.sha512(message).digest()
    signature = _string(KIND) + _string(private.sign(_signed(namespace.encode(), name, digest)))
    parts = (public, namespace.encode(), b"", name, signature)
    blob = MAGIC + (1).to_bytes(4, "big") + b"".join(map(_string, parts))
    return "\n".join([BEGIN, *textwrap.wrap(base64.b64encode(blob).decode(), 70), END, ""])


def signer_of(armoured: str, namespace: str, message: bytes) -> bytes:
    """The public key, as SSH encodes it, that signed ``message`` for ``namespace``. Raises BadSignature."""
    public, its_namespace, hash_name, signature = _opened(armoured)
    if its_namespace != namespace.encode():
        raise BadSignature(f"It was made for {its_namespace.decode(errors='replace')!r}, not for {namespace!r}.")
    signed = _signed(its_namespace, hash_name, HASHES[hash_name](message).digest())
    try:
        Ed25519PublicKey.from_public_bytes(_ed25519(public)).verify(_ed25519(signature), signed)
    except (InvalidSignature, ValueError):
        raise BadSignature("It is not the signature of this content by the key it names.") from None
    return public


def key_of(armoured: str) -> bytes:
    """The public key that a signature names, believed or not."""
    return _opened(armoured)[0]


def fingerprint(public: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")


def _opened(armoured: str) -> tuple[bytes, bytes, bytes, bytes]:
    body = re.fullmatch(rf"\s*{BEGIN}\n(.*?)\n{END}\s*", armoured.replace("\r\n", "\n"), re.DOTALL)
    try:
        blob = base64.b64decode("".join(body[1].split()), validate=True) if body else b""
    except binascii.Error:
        blob = b""
    if not blob.startswith(MAGIC + (1).to_bytes(4, "big")):
        raise BadSignature("This is not an SSH signature of version 1.")
    fields = list(_strings(blob[len(MAGIC) + 4 :]))
    if len(fields) != 5 or fields[3] not in HASHES or not fields[1]:
        raise BadSignature("The SSH signature is cut short, or made in a way that is not known here.")
    _ed25519(fields[0]), _ed25519(fields[4])
    return fields[0], fields[1], fields[3], fields[4]


def _signed(namespace: bytes, hash_name: bytes, digest: bytes) -> bytes:
    return MAGIC + b"".join(map(_string, (namespace, b"", hash_name, digest)))


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _strings(encoded: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(encoded):
        end = at + 4 + int.from_bytes(encoded[at : at + 4], "big")
        if end > len(encoded) or at + 4 > len(encoded):
            raise BadSignature("An SSH encoding is cut short.")
        yield encoded[at + 4 : end]
        at = end


def _ed25519(encoded: bytes) -> bytes:
    """The raw bytes of an Ed25519 key or signature in SSH's encoding."""
    fields = list(_strings(encoded))
    if len(fields) != 2 or fields[0] != KIND:
        kind = fields[0].decode(errors="replace") if fields else "nothing"
        raise BadSignature(f"Only ssh-ed25519 keys are known here, and this is {kind}; install ssh-keygen for others.")
    return fields[1]


# ---- allowed signers ----------------------------------------------------------------------------------------------


def allowed_signers(text: str) -> Iterator[Signer]:
    """The lines of an allowed_signers file that name Ed25519 keys."""
    for line in text.splitlines():
        found = re.fullmatch(r'\s*(?!#)("[^"]*"|\S+)\s+(?:(\S*?(?:"[^"]*"\S*)*)\s+)?ssh-ed25519\s+(\S+)(?:\s.*)?', line)
        if found:
            options = dict(re.findall(r'([A-Za-z-]+)(?:="([^"]*)")?(?:,|$)', found[2] or ""))
            lower = {name.lower(): value for name, value in options.items()}
            if "cert-authority" not in lower:
                yield Signer(found[1].strip('"'), lower, base64.b64decode(found[3]))


def _matches(word: str, patterns: str) -> bool:
    """OpenSSH's pattern lists: commas between, ``!`` before a pattern that excludes."""
    hit = False
    for pattern in patterns.split(","):
        if fnmatch.fnmatchcase(word, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


def _digits(time: str) -> str:
    """A time as YYYYMMDDHHMMSS, in UTC."""
    return time.rstrip("Z").ljust(14, "0")


# ---- what git calls -----------------------------------------------------------------------------------------------


def signing_program(folder: Path) -> str:
    """A program that git can sign and verify with: ``ssh-keygen``, or a script in ``folder`` that runs this module."""
    found = shutil.which("ssh-keygen")
    return found or str(write_program(folder))


def write_program(folder: Path) -> Path:
    path = (folder / "ssh-signatures").absolute()
    house = shlex.quote(str(Path(__file__).resolve().parents[2]))
    text = f'#!/bin/sh\nPYTHONPATH={house} exec {shlex.quote(sys.executable)} -m {__spec__.name} "$@"\n'
    if not path.exists() or path.read_text() != text:
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(text)
        partial.chmod(stat.S_IRWXU)
        partial.rename(path)
    return path


Options = dict[str, str]


def _sign(options: Options, rest: list[str]) -> None:
    private = load_ssh_private_key(Path(options["-f"]).read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise BadSignature(f"{options['-f']} is no Ed25519 key; install ssh-keygen to sign with others.")
    for name in rest:
        Path(f"{name}.sig").write_text(sign(private, options["-n"], Path(name).read_bytes()))


def _find_principals(options: Options, rest: list[str]) -> None:
    key, time = key_of(Path(options["-s"]).read_text()), _time(options)
    signers = allowed_signers(Path(options["-f"]).read_text())
    found = [signer.principals for signer in signers if signer.key == key and signer.may(time)]
    if not found:
        raise BadSignature("No principal matched.")
    print("\n".join(found))


def _verify(options: Options, rest: list[str]) -> None:
    namespace, principal, time = options["-n"], options["-I"], _time(options)
    key = signer_of(Path(options["-s"]).read_text(), namespace, sys.stdin.buffer.read())
    if "-r" in options and _revoked(key, Path(options["-r"]).read_bytes()):
        raise BadSignature(f"The key {fingerprint(key)} was revoked.")
    signers = allowed_signers(Path(options["-f"]).read_text())
    if not any(s.key == key and s.names(principal) and s.covers(namespace) and s.may(time) for s in signers):
        raise BadSignature(f"{principal} may not sign for {namespace!r} with the key {fingerprint(key)}.")
    print(f'Good "{namespace}" signature for {principal} with ED25519 key {fingerprint(key)}')


def _check(options: Options, rest: list[str]) -> None:
    key = signer_of(Path(options["-s"]).read_text(), options["-n"], sys.stdin.buffer.read())
    print(f'Good "{options["-n"]}" signature with ED25519 key {fingerprint(key)}')


def _revoked(key: bytes, content: bytes) -> bool:
    if content.startswith(b"SSHKRL"):
        raise BadSignature("A binary revocation list cannot be read here; list the revoked public keys as text.")
    return base64.b64encode(key) in content.split()


def _time(options: Options) -> str:
    name, _, value = options.get("-O", "").partition("=")
    return _digits(value) if name == "verify-time" else ""


VERBS: dict[str, Callable[[Options, list[str]], None]] = {
    "sign": _sign,
    "verify": _verify,
    "find-principals": _find_principals,
    "check-novalidate": _check,
}


def main(argv: list[str]) -> int:
    try:
        pairs, rest = getopt.getopt(argv, "Y:n:f:I:s:O:r:Uq")
        options = dict(pairs)
        VERBS[options["-Y"]](options, rest)
    except (getopt.GetoptError, KeyError) as error:
        print(f"This call is not understood here ({error}); known are -Y {', '.join(VERBS)}.", file=sys.stderr)
        return 255
    except (BadSignature, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 255
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
