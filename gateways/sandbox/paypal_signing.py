"""The certificate that the sandbox signs PayPal's webhooks with, and checks them by."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Lock

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ALGORITHM = "SHA256withRSA"
CERT_PATH = "/v1/notifications/certs/"
_AUTHORITY = "Refund Desk Sandbox CA"
_MAKING = Lock()
_SUBJECT = "messageverificationcerts.sandbox.paypal.com"


class Signer:
    """A key with a certificate that an authority of the sandbox vouches for.

    ``chain`` is both certificates as PEM, the signing one first, as PayPal serves them at
    ``cert_path``. The path is another one with each key: whoever knows a certificate by its address
    does not ask for it again.
    """

    def __init__(self) -> None:
        root, self._key = _new_key(), _new_key()
        leaf = _certificate(_SUBJECT, self._key, root)
        top = _certificate(_AUTHORITY, root, root)
        self.chain = leaf.public_bytes(Encoding.PEM) + top.public_bytes(Encoding.PEM)
        self.cert_path = f"{CERT_PATH}CERT-{leaf.fingerprint(hashes.SHA256()).hex()[:16]}"

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


def signer() -> Signer:
    """The process's signer: making keys takes a moment, so it is made when first needed.

    By one thread: of several that begin together each would make one, and only one is served.
    """
    with _MAKING:
        return _signer()


@cache
def _signer() -> Signer:
    return Signer()


def _signed_text(transmission_id: str, time: str, webhook_id: str, body: bytes) -> bytes:
    return f"{transmission_id}|{time}|{webhook_id}|{zlib.crc32(body)}".encode()


def _new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(name: str, key: RSAPrivateKey, issuer_key: RSAPrivateKey) -> x509.Certificate:
    """A certificate as authorities of the web issue them; the authority's own is no other kind."""
    now, is_authority = datetime.now(UTC), name == _AUTHORITY
    public, issuer = key.public_key(), issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(_AUTHORITY))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(_usage(is_authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
    )
    if not is_authority:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
