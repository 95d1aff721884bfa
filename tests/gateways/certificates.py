"""Certificates that a test makes: an authority, one in between, and what they issue."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAYPAL = "messageverificationcerts.paypal.com"
_USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
    "key_cert_sign crl_sign encipher_only decipher_only"
).split()


class Issued:
    """A certificate with its key. Without an ``issuer`` it is signed by itself."""

    def __init__(self, name, issuer=None, *, is_ca=False, ends=30, begins=-30, key=None, alt=None):
        self.name, issuer = name, issuer or self
        self.key = key or generate_private_key(65537, 2048)
        public, signer = self.key.public_key(), issuer.key
        usages = dict.fromkeys(_USAGES, False)
        usages["key_cert_sign" if is_ca else "digital_signature"] = True
        extensions = [
            (x509.BasicConstraints(ca=is_ca, path_length=None), True),
            (x509.KeyUsage(**usages), True),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
        ]
        if not is_ca:
            extensions += [
                (x509.SubjectAlternativeName([x509.DNSName(alt or name)]), False),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer.name))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=begins))
            .not_valid_after(NOW + timedelta(days=ends))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        self.certificate = builder.sign(signer, hashes.SHA256())

    @property
    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM)


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
