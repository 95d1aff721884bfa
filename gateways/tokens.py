"""Access tokens, fetched once and shared by everybody in the process who has the same login."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable

from .errors import NotSent

# A token that ends while its request travels would be turned away.
_MARGIN_SECONDS = 60
# Longer than a login takes. Who waits so long does better to come back later.
_LOCK_SECONDS = 10


class TokenCache:
    """Tokens by login. Threads with the same login wait for one fetch instead of making more."""

    def __init__(self) -> None:
        self._locks: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)
        self._tokens: dict[Hashable, tuple[str, float]] = {}

    def get(self, login: Hashable, fetch: Callable[[], tuple[str, int]]) -> str:
        """The token of a login; ``fetch`` returns a new one and its life in seconds.

        Raises NotSent (reason ``unreachable``) when somebody else's fetch does not end, and
        whatever ``fetch`` raises.
        """
        lock = self._locks[login]
        if not lock.acquire(timeout=_LOCK_SECONDS):
            raise NotSent("Logging in takes too long. Nothing was sent.", reason="unreachable")
        try:
            token, ends_at = self._tokens.get(login, ("", 0.0))
            if time.monotonic() >= ends_at:
                token, seconds = fetch()
                ends_at = time.monotonic() + seconds - _MARGIN_SECONDS
                self._tokens[login] = (token, ends_at)
            return token
        finally:
            lock.release()

    def forget(self, login: Hashable, token: str) -> None:
        """Drop a token that was turned away, unless somebody has replaced it already."""
        known = self._tokens.get(login)
        if known and known[0] == token:
            del self._tokens[login]
