"""Secrets as they rest in the database: each under a key of its own, that key under ours.

A sealed text is ``sealed1.<id of our key>.<wrapped data key>.<content>``. The data key is random,
and wrapped by the first of ``CREDENTIALS_KEYS``; to rotate those, the few bytes of the data key are
wrapped anew and the content stays. Both parts are AES-256-GCM and bound to ``about``, which says
whose secret it is: copied onto another row it does not open.
"""

from __future__ import annotations

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from .errors import Misconfigured

_VERSION = "sealed1"
_NONCE_BYTES = 12


def seal(text: str, about: str) -> str:
    """The text as ASCII that only our keys open, and only where it is ``about`` the same."""
    data_key = AESGCM.generate_key(256)
    return _join(_wrap(data_key, about), _encrypt(data_key, text.encode(), _content(about)))


def unseal(sealed: str, about: str) -> str:
    """The text that was sealed.

    Raises:
        Misconfigured: with the sentence that says what to do.
    """
    _key_id, _wrapped, content = _split(sealed)
    opened = _decrypt(_unwrap(sealed, about), content, _content(about))
    if opened is None:
        raise Misconfigured(_DAMAGED)
    return opened.decode()


def rewrap(sealed: str, about: str) -> str:
    """The same content, its data key under the first key. Raises Misconfigured."""
    unseal(sealed, about)  # what does not open is left as it is, for its old key to open
    _key_id, _wrapped, content = _split(sealed)
    return _join(_wrap(_unwrap(sealed, about), about), content)


def is_sealed(text: str) -> bool:
    return text.startswith(f"{_VERSION}.")


def key_id_of(sealed: str) -> str:
    """Which key its data key hangs on: eight hex digits that tell nothing else."""
    return _split(sealed)[0]


def key_ids() -> list[str]:
    """The ids of CREDENTIALS_KEYS, the first one first."""
    return [_key_id_of_key(key) for key in settings.CREDENTIALS_KEYS]


_DAMAGED = (
    "The stored secret cannot be decrypted: it was changed, or belongs to another row. "
    "Enter it again."
)
_NO_KEY = (
    "The stored secret cannot be decrypted: it hangs on key %s, which is not in "
    "CREDENTIALS_KEYS. Put that key back, or enter the secret again."
)


def _wrap(data_key: bytes, about: str) -> tuple[str, bytes]:
    key = settings.CREDENTIALS_KEYS[0]
    return _key_id_of_key(key), _encrypt(_wrapping_key(key), data_key, _wrapping(about))


def _unwrap(sealed: str, about: str) -> bytes:
    key_id, wrapped, _rest = _split(sealed)
    named = [key for key in settings.CREDENTIALS_KEYS if _key_id_of_key(key) == key_id]
    if not named:
        raise Misconfigured(_NO_KEY % key_id)
    for key in named:
        data_key = _decrypt(_wrapping_key(key), wrapped, _wrapping(about))
        if data_key is not None:
            return data_key
    raise Misconfigured(_DAMAGED)


def _content(about: str) -> bytes:
    return f"{_VERSION} content of {about}".encode()


def _wrapping(about: str) -> bytes:
    return f"{_VERSION} key of {about}".encode()


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def _decrypt(key: bytes, stored: bytes, bound_to: bytes) -> bytes | None:
    try:
        return AESGCM(key).decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce, or a key
        return None


def _wrapping_key(key: str) -> bytes:
    # Any text serves as a key: AES wants 32 bytes, so they are derived from it.
    return _derive(key, "wrapping of data keys", 32)


def _key_id_of_key(key: str) -> str:
    return _derive(key, "id of the key", 4).hex()


def _derive(key: str, purpose: str, length: int) -> bytes:
    info = f"refund desk: {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(key.encode())


def _join(wrapped: tuple[str, bytes], content: bytes) -> str:
    key_id, data_key = wrapped
    return ".".join((_VERSION, key_id, *map(_in_ascii, (data_key, content))))


def _split(sealed: str) -> tuple[str, bytes, bytes]:
    parts = sealed.split(".")
    if len(parts) != 4 or parts[0] != _VERSION:
        raise Misconfigured(_DAMAGED)
    try:
        wrapped, content = map(_in_bytes, parts[2:])
    except ValueError:
        raise Misconfigured(_DAMAGED) from None
    return parts[1], wrapped, content


def _in_ascii(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii")


def _in_bytes(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)
