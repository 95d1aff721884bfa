"""Guessing becomes slow: who fails too often waits.

Failures are counted in the cache for ``LOCKOUT_SECONDS`` after the first one: per name from one
address, per name from anywhere, and per address. An attempt is counted before it is tried and
taken back when it succeeds, so that many at once do not slip through. A name that nobody has is
counted like any other. What failed with one password does not count against the next: a new one
opens the door of its name, whoever sets it and wherever.
"""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.exceptions import Throttled

from audit.context import address_of

# Attempts until the door closes. Many people may share an address, and anybody can use a name.
_PER_NAME_AND_ADDRESS, _PER_NAME, _PER_ADDRESS = 5, 20, 50
# Calls of the API with a wrong token, per address and minute.
_WRONG_TOKENS = 60
_MINUTE = 60


class LockedOut(Exception):
    """Too many attempts failed. ``is_new`` for the first one that is turned away."""

    def __init__(self, *, is_new: bool) -> None:
        super().__init__()
        self.is_new = is_new


class Attempt:
    """One attempt to sign in under a name, from the address of a request."""

    def __init__(self, request: HttpRequest, name: str) -> None:
        door, address = _door(name.strip()), address_of(request)
        self.pair = _key("pair", *door, address)
        self.limits = {
            self.pair: _PER_NAME_AND_ADDRESS,
            _key("name", *door): _PER_NAME,
            _key("address", address): _PER_ADDRESS,
        }

    def begin(self) -> None:
        """Count it. Raises LockedOut when it is one too many."""
        over = [
            count - most
            for key, most in self.limits.items()
            if (count := _count(key, settings.LOCKOUT_SECONDS)) > most
        ]
        if over:
            raise LockedOut(is_new=min(over) == 1)

    def succeed(self) -> None:
        """Take it back; what failed from the same address before is forgiven."""
        cache.delete(self.pair)
        for key in self.limits.keys() - {self.pair}:
            _take_back(key)


def refuse_guesser(request: HttpRequest) -> None:
    """Count a call with a wrong token. Raises Throttled for an address that sends too many.

    Calls with a right one are not asked: another program behind the same address goes on.
    """
    if _count(_key("token", address_of(request)), _MINUTE) > _WRONG_TOKENS:
        raise Throttled(wait=_MINUTE)


def _door(name: str) -> tuple[str, ...]:
    """What attempts under a name are counted by: all its spellings, and its passwords, hashed."""
    same = User.objects.filter(username__iexact=name).order_by("pk")
    return (name.casefold(), *same.values_list("password", flat=True))


def _count(key: str, seconds: int) -> int:
    """How many there are with this one, since the first of the last ``seconds``."""
    for _try in range(2):
        cache.add(key, 0, seconds)
        try:
            return int(cache.incr(key))
        except ValueError:  # it ran out between the two calls
            continue
    return 1


def _take_back(key: str) -> None:
    try:
        cache.decr(key)
    except ValueError:  # it ran out, or the cache was emptied
        return


def _key(kind: str, *parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"lockout:{kind}:{digest}"
