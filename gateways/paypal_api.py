"""PayPal's REST interface: the SDK's client with our transport in it, and what refusals prove."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import paypalrestsdk
from paypalrestsdk import exceptions as sdk

from .base import Account, Exchange
from .errors import GatewayError, NotSent, OutcomeUnknown
from .json_fields import integer_at, text_at, value_at
from .tokens import TokenCache
from .transport import Response, Transport, retry_after

VERIFY_PATH = "/v1/notifications/verify-webhook-signature"

_LOGIN_PATH = "/v1/oauth2/token"
_CHANGES_NOTHING = (_LOGIN_PATH, VERIFY_PATH)
_LIST_BYTES = 8_000_000
_REASONS_OF_LOGIN = {**dict.fromkeys((400, 401, 403), "credentials"), 429: "rate_limited"}

_tokens = TokenCache()  # one for the process: asking for a token with every call gets one blocked


class PayPalApi(paypalrestsdk.Api):
    """The SDK's client, with our transport and with logins that end.

    Its own has no timeout, asks for ever after a 401, and sends request ids to the login, too.
    """

    def __init__(self, account: Account, transport: Transport) -> None:
        super().__init__(
            mode="live" if account.mode == "live" else "sandbox",
            endpoint=account.base_url.rstrip("/"),
            client_id=account.credentials["client_id"],
            client_secret=account.credentials["client_secret"],
        )
        self._transport = transport
        self._login = (self.endpoint, self.client_id, self.client_secret)

    def request(
        self,
        url: str,
        method: str,
        body: Mapping[str, Any] | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """One call, and one more with a new token where the first was turned away.

        A ``body`` that is text already goes out as it is.
        Raises NotSent, OutcomeUnknown, or Refusal for any answer other than 2xx.
        """
        data = (body or "") if isinstance(body, str | None) else json.dumps(body)
        token = self.get_access_token()
        try:
            return self._send(url, method, data, headers)
        except Refusal as refusal:
            if refusal.status != 401:
                raise refusal.judged(is_read=method == "GET") from None
        _tokens.forget(self._login, token)
        try:
            return self._send(url, method, data, headers)
        except Refusal as refusal:
            raise refusal.judged(is_read=method == "GET") from None

    def http_call(self, url: str, method: str, **kwargs: Any) -> dict[str, Any]:
        is_read = method == "GET" or url.endswith(_CHANGES_NOTHING)
        response = self._transport.send(
            method,
            url,
            headers=kwargs["headers"],
            body=kwargs["data"].encode(),
            reuse_connection=is_read,
            max_bytes=_LIST_BYTES if is_read else None,
        )
        exchanges = self._transport.exchanges
        try:
            answer = self.handle_response(_SdkResponse(response.status), response.body.decode())
        except sdk.ConnectionError as error:
            raise Refusal(response, exchanges) from error
        except ValueError as error:
            raise OutcomeUnknown("PayPal's answer is not JSON.", exchanges=exchanges) from error
        if not isinstance(answer, dict):
            raise OutcomeUnknown("PayPal's answer is not an object.", exchanges=exchanges)
        return answer

    def get_token_hash(self, *_: Any, **__: Any) -> dict[str, str]:
        token = _tokens.get(self._login, self._log_in)
        self._transport.protect(token)
        return {"token_type": "Bearer", "access_token": token}

    def _send(
        self, url: str, method: str, data: str, headers: Mapping[str, str] | None
    ) -> dict[str, Any]:
        return self.http_call(url, method, data=data, headers={**self.headers(), **(headers or {})})

    def _log_in(self) -> tuple[str, int]:
        """A new token and its life in seconds. Whatever fails here, nothing else was sent."""
        headers = {
            "Authorization": f"Basic {self.basic_auth()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        url = self.endpoint + _LOGIN_PATH
        try:
            answer = self.http_call(
                url, "POST", data="grant_type=client_credentials", headers=headers
            )
            token, seconds = text_at(answer, "access_token"), integer_at(answer, "expires_in")
        except (OutcomeUnknown, ValueError) as error:
            status = error.status if isinstance(error, Refusal) else 0
            raise NotSent(
                f"PayPal did not log us in, so nothing else was sent. {error}",
                reason=_REASONS_OF_LOGIN.get(status, "unreachable"),
                exchanges=self._transport.exchanges,
            ) from error
        return token, seconds


@dataclass(frozen=True, slots=True)
class _SdkResponse:
    """As much of a response as the SDK looks at."""

    status_code: int


class Refusal(OutcomeUnknown):
    """An answer other than 2xx. It proves a refusal only where its issue is one that we know."""

    def __init__(self, response: Response, exchanges: Sequence[Exchange]) -> None:
        self.status = response.status
        self.retry_after = retry_after(response.headers)
        try:
            body = json.loads(response.body)
        except ValueError:
            body = None
        details = value_at(body, "details")
        first = details[0] if isinstance(details, list) and details else None
        self.name = str(value_at(body, "name") or value_at(body, "error") or "")
        self.issue = str(value_at(first, "issue") or self.name)
        said = value_at(first, "description") or value_at(body, "message")
        self.text = str(said or value_at(body, "error_description") or f"HTTP {self.status}")
        what = ": ".join(part for part in (self.issue, self.text) if part)
        said = f"PayPal answered {what}.".replace("..", ".")
        super().__init__(said, code=self.issue or str(self.status), exchanges=exchanges)

    def judged(self, *, is_read: bool) -> GatewayError:
        """What it means whatever was asked: turned away at the door, or nothing that is proven."""
        if self.status in {401, 403}:
            return NotSent(
                f"PayPal did not accept our login: {self.text}",
                reason="credentials",
                exchanges=self.exchanges,
            )
        # That a refund which met a 429 did not run is nowhere promised.
        if self.status == 429 and is_read:
            return NotSent(
                f"PayPal turned the request away: {self.text}",
                reason="rate_limited",
                retry_after=self.retry_after,
                exchanges=self.exchanges,
            )
        return self
