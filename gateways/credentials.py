"""Processor credentials as they rest in the database: encrypted, authenticated, rotatable.

Fernet (AES-128-CBC with HMAC-SHA256) from ``cryptography``. The first key of the setting
``CREDENTIALS_KEYS`` encrypts, every key decrypts; so a new key is put in front, accounts are
saved once, and the old key is dropped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from .errors import Misconfigured


def encrypt(credentials: Mapping[str, str]) -> str:
    """The credentials as one token of text."""
    plain = json.dumps(dict(credentials), sort_keys=True).encode()
    return _fernet().encrypt(plain).decode("ascii")


def decrypt(token: str) -> dict[str, str]:
    """The credentials of a token.

    Raises:
        Misconfigured: none of the keys in ``CREDENTIALS_KEYS`` opens it.
    """
    if not token:
        return {}
    try:
        plain = _fernet().decrypt(token.encode("ascii"))
    except InvalidToken:
        raise Misconfigured(
            "The stored credentials cannot be decrypted with any key in CREDENTIALS_KEYS. "
            "Put the key that encrypted them back, or enter the credentials again."
        ) from None
    stored: dict[str, str] = json.loads(plain)
    return stored


def fingerprint(credentials: Mapping[str, str]) -> str:
    """16 hex digits that tell whether two sets of credentials are the same, and nothing else."""
    canonical = json.dumps(dict(credentials), sort_keys=True).encode()
    key = settings.SECRET_KEY.encode()
    return hmac.new(key, canonical, hashlib.sha256).hexdigest()[:16]


def _fernet() -> MultiFernet:
    # Any text serves as a key: Fernet wants 32 bytes, so it is hashed to that length.
    return MultiFernet(
        Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
        for key in settings.CREDENTIALS_KEYS
    )
