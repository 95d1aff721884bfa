"""What the Stripe SDK is given: our transport in place of its own, and a look at its refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import stripe

from .base import Exchange, FailureCode
from .errors import OutcomeUnknown
from .json_fields import value_at
from .stripe_records import failure_code
from .transport import Transport

_LIST_BYTES = 8_000_000


class HttpClient(stripe.HTTPClient):
    """Lets the SDK speak through our transport. Only reads share a connection."""

    name = "refund-desk"

    def __init__(self, transport: Transport) -> None:
        super().__init__()
        self._transport = transport

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        **_: Any,
    ) -> tuple[Any, int, Mapping[str, str]]:
        is_read = method == "get"
        response = self._transport.send(
            method.upper(),
            url,
            headers=headers or {},
            body=(post_data or "").encode(),
            reuse_connection=is_read,
            max_bytes=_LIST_BYTES if is_read else None,
        )
        return response.body, response.status, response.headers

    def close(self) -> None:
        self._transport.close()


class Refusal(OutcomeUnknown):
    """An answer other than 2xx. It proves a refusal only where :meth:`failure_code` knows it."""

    def __init__(self, error: stripe.StripeError, exchanges: Sequence[Exchange]) -> None:
        self.status = error.http_status or 0
        details = value_at(error.json_body, "error")
        self.type, self.code, self.param, said = (
            str(value_at(details, name) or "") for name in ("type", "code", "param", "message")
        )
        self.text = said or f"HTTP {self.status}, without a reason that can be read."
        self.replayed = (error.headers or {}).get("idempotent-replayed") == "true"
        what = ": ".join(part for part in (self.code or self.type, self.text) if part)
        code = self.code or self.type or str(self.status)
        super().__init__(f"Stripe answered {what}", code=code, exchanges=exchanges)

    def failure_code(self) -> FailureCode | None:
        """Our code for a refusal that certainly moved no money; None for anything else."""
        return failure_code(self.status, self.type, self.code, self.param, self.text)
