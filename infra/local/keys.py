"""Ed25519 keys of the platform on one machine, as files: made where there is none."""

from pathlib import Path
from typing import TYPE_CHECKING

from infra.local.servers import ServerFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def build_key(path: Path) -> str:
    """The public half of the key that signs manifests, as 64 hex digits."""
    return public_half(path).public_bytes_raw().hex()


def ssh_key(path: Path) -> str:
    """The public half of a key of SSH, as known_hosts and authorized_keys have it."""
    from cryptography.hazmat.primitives import serialization as form

    return public_half(path).public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def public_half(path: Path) -> "Ed25519PublicKey":
    """Of the key at ``path``, which is made if there is none. Raises ServerFailed."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not path.exists():
        made = Ed25519PrivateKey.generate()
        text = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(text)
    key = form.load_ssh_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ServerFailed(f"{path} holds no Ed25519 key; remove it, and the next `up` makes one.")
    return key.public_key()
