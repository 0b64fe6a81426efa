"""An authority of devices, as docs/cloud.md makes one with openssl: certificates for a zone and its devices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    """``ca.pem`` and ``devices.pem`` are itself, ``server.pem`` a zone, ``NAME.pem`` a device; each with its key."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Factory devices")])
        itself = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        for file in ("ca.pem", "devices.pem"):
            (folder / file).write_bytes(itself.public_bytes(Encoding.PEM))
        self._issue("server", "localhost", ExtendedKeyUsageOID.SERVER_AUTH)

    def device(self, name: str) -> Path:
        return self._issue(name, name, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(self, file: str, common_name: str, usage: x509.ObjectIdentifier) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        alternative = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        made = self._sign(name, key, x509.ExtendedKeyUsage([usage]), alternative)
        path = self.folder / f"{file}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
        return path

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            self._name,
            name,
            key.public_key(),
            x509.random_serial_number(),
            now - timedelta(hours=1),
            now + timedelta(days=1),
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())
