"""Idempotency as Stripe keeps it: the first answer whose request ran is replayed for 24 hours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

from .http import Reply, Request
from .ledger import Ledger, SandboxAccount, StoredAnswer
from .stripe_params import StripeError

_KEY_LIFE = timedelta(hours=24)

# Runs a request: the answer, and whether it ran (only then is the answer stored).
Run = Callable[[], tuple[Reply, bool]]


class Idempotency:
    """What the keys of a ledger stand for."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def once(self, request: Request, account: SandboxAccount, request_id: str, run: Run) -> Reply:
        """Run a POST, or replay what its key stands for.

        Raises StripeError when the key belongs to another request, or its first one still runs.
        """
        key = request.headers.get("idempotency-key", "")
        if not key:
            request.hold()
            return run()[0]
        if len(key) > 255:
            raise StripeError("An Idempotency-Key has at most 255 characters.", executed=False)
        with self.ledger.lock:
            stored = self._stored(account, key)
            if stored:
                return _replayed(request, stored)
            now = self.ledger.clock.now()
            claim = StoredAnswer(
                account.name, key, _fingerprint(request), now, request_id=request_id
            )
            self.ledger.keep_answer(claim)
        request.hold()
        with self.ledger.lock:
            reply, executed = run()
            if executed:
                claim.status, claim.body = reply.status, reply.body.decode()
                self.ledger.keep_answer(claim)
            else:
                self.ledger.forget_answer(claim)
        return replace(reply, headers={**reply.headers, "Idempotency-Key": key})

    def replace_answer(self, request: Request, account: SandboxAccount, reply: Reply) -> None:
        """The first answer became another one: an error that is now replayed."""
        key = request.headers.get("idempotency-key", "")
        with self.ledger.lock:
            stored = self._stored(account, key)
            if stored and stored.fingerprint == _fingerprint(request):
                stored.status, stored.body = reply.status, reply.body.decode()
                self.ledger.keep_answer(stored)

    def _stored(self, account: SandboxAccount, key: str) -> StoredAnswer | None:
        stored = self.ledger.answers.get((account.name, key))
        if stored and self.ledger.clock.now() - stored.at > _KEY_LIFE:
            return None
        return stored


def _replayed(request: Request, stored: StoredAnswer) -> Reply:
    if stored.fingerprint != _fingerprint(request):
        raise StripeError(
            "Keys for idempotent requests can only be used with the same parameters and address "
            "that they were first used with.",
            kind="idempotency_error",
            executed=False,
        )
    if not stored.status:
        raise StripeError(
            "Another request with this Idempotency-Key is in progress.",
            status=409,
            code="idempotency_key_in_use",
            executed=False,
        )
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": stored.key,
        "Idempotent-Replayed": "true",
        "Original-Request": stored.request_id,
    }
    return Reply(stored.status, stored.body.encode(), headers)


def _fingerprint(request: Request) -> str:
    """The same for the same parameters at the same address, in whatever order."""
    fields = "&".join(f"{name}={value}" for name, value in sorted(request.form()))
    return sha256(f"{request.path}?{fields}".encode()).hexdigest()
