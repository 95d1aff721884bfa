"""Processor credentials as they rest in the database: sealed for one account, rotatable.

Those that were stored by earlier versions are one Fernet token, bound to no account. They open as
ever and are sealed by ``manage.py rotate_credentials``, or when they are next changed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from . import envelopes
from .errors import Misconfigured

if TYPE_CHECKING:
    from .models import ProcessorAccount

# What stands in place of a key's id for a token that bears none.
UNSEALED = "unsealed"


def encrypt(credentials: Mapping[str, str], account: ProcessorAccount) -> str:
    """The credentials as text that opens for this account alone."""
    plain = json.dumps(dict(credentials), sort_keys=True)
    return envelopes.seal(plain, _about(account))


def credentials_of(account: ProcessorAccount) -> dict[str, str]:
    """The credentials of an account; none while none were set.

    Raises:
        Misconfigured: no key in ``CREDENTIALS_KEYS`` opens them, or they are another account's.
    """
    stored = account.encrypted_credentials
    if not stored:
        return {}
    if envelopes.is_sealed(stored):
        plain = envelopes.unseal(stored, _about(account))
    else:
        plain = _open_token(stored)
    values: dict[str, str] = json.loads(plain)
    return values


def renewed(account: ProcessorAccount, *, new_data_key: bool = False) -> str:
    """The stored credentials anew under the first key. Raises Misconfigured."""
    stored = account.encrypted_credentials
    if envelopes.is_sealed(stored) and not new_data_key:
        return envelopes.rewrap(stored, _about(account))
    return encrypt(credentials_of(account), account)


def key_id_of(account: ProcessorAccount) -> str:
    """The id of the key that its credentials hang on; :data:`UNSEALED` for an old token."""
    stored = account.encrypted_credentials
    return envelopes.key_id_of(stored) if envelopes.is_sealed(stored) else UNSEALED


def hangs_on_first_key(account: ProcessorAccount) -> bool:
    """Whether nothing but the first key is needed for it."""
    if not account.encrypted_credentials:
        return True
    return key_id_of(account) == envelopes.key_ids()[0]


def fingerprint(credentials: Mapping[str, str]) -> str:
    """16 hex digits that tell whether two sets of credentials are the same, and nothing else."""
    canonical = json.dumps(dict(credentials), sort_keys=True).encode()
    key = settings.SECRET_KEY.encode()
    return hmac.new(key, canonical, hashlib.sha256).hexdigest()[:16]


def _about(account: ProcessorAccount) -> str:
    # Its name, as a new account has no key yet, and names never change.
    return f"credentials of {account.processor} {account.mode} {account.slug}"


def _open_token(token: str) -> str:
    fernet = MultiFernet(
        Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
        for key in settings.CREDENTIALS_KEYS
    )
    try:
        return fernet.decrypt(token.encode()).decode()
    except InvalidToken:
        raise Misconfigured(
            "The stored credentials cannot be decrypted with any key in CREDENTIALS_KEYS. "
            "Put the key that encrypted them back, or enter the credentials again."
        ) from None
