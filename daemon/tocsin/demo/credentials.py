"""What daemon and stand-in need to believe each other, made for one demo and gone with it."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOST = "127.0.0.1"
LIFETIME = timedelta(hours=1)


@attrs.frozen
class Credentials:
    """`certificate` is of `HOST`, and its own authority; `server_key` belongs to it. `push_key` is
    the text of a .p8 file, as Apple gives it."""

    certificate: Path
    server_key: Path
    push_key: str = attrs.field(repr=False)

    @classmethod
    def make(cls, folder: Path, now: float) -> Self:
        """Make them, with files in this folder; `now` is epoch seconds."""
        key = _key()
        made = cls(folder / "provider.pem", folder / "provider.key", _pem(_key()))
        made.certificate.write_bytes(_certificate(key, now).public_bytes(Encoding.PEM))
        made.server_key.touch(mode=0o600)
        made.server_key.write_text(_pem(key))
        return made


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _certificate(key: ec.EllipticCurvePrivateKey, now: float) -> x509.Certificate:
    """Signed by itself. Newer Pythons insist on the extensions."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tocsin demo")])
    begin = datetime.fromtimestamp(now, UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    public = key.public_key()
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - LIFETIME)
        .not_valid_after(begin + LIFETIME)
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, SHA256())
    )
