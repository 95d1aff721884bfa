"""The certificate that the sandbox signs PayPal's webhooks with, and checks them by."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

ALGORITHM = "SHA256withRSA"
CERT_PATH = "/v1/notifications/certs/CERT-sandbox"


class Signer:
    """A key with a certificate that an authority of the sandbox vouches for.

    ``chain`` is both certificates as PEM, the signing one first, as PayPal serves them.
    """

    def __init__(self) -> None:
        root, self._key = _new_key(), _new_key()
        authority = _name("Refund Desk Sandbox CA")
        leaf = _certificate(
            _name("messageverificationcerts.paypal.com"), self._key, authority, root
        )
        top = _certificate(authority, root, authority, root, is_authority=True)
        self.chain = leaf.public_bytes(Encoding.PEM) + top.public_bytes(Encoding.PEM)

    def sign(self, transmission_id: str, time: str, webhook_id: str, body: bytes) -> str:
        """The value of PAYPAL-TRANSMISSION-SIG."""
        signed = _signed_text(transmission_id, time, webhook_id, body)
        return base64.b64encode(self._key.sign(signed, PKCS1v15(), hashes.SHA256())).decode()

    def holds(
        self, signature: str, transmission_id: str, time: str, webhook_id: str, body: bytes
    ) -> bool:
        """Whether a signature is ours and of these bytes."""
        signed = _signed_text(transmission_id, time, webhook_id, body)
        try:
            sent = base64.b64decode(signature, validate=True)
            self._key.public_key().verify(sent, signed, PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


@cache
def signer() -> Signer:
    """The process's signer: making keys takes a moment, so it is made when first needed."""
    return Signer()


def _signed_text(transmission_id: str, time: str, webhook_id: str, body: bytes) -> bytes:
    return f"{transmission_id}|{time}|{webhook_id}|{zlib.crc32(body)}".encode()


def _new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name,
    key: RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: RSAPrivateKey,
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
