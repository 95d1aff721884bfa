"""Calls of Authorize.net's XML API: the SDK's classes build, our transport sends, we parse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, NoReturn

from .authorizenet_records import reason_of, time_of
from .base import Account
from .errors import Misconfigured, NotSent, OutcomeUnknown
from .hardened_xml import Element, parse_xml, text_of
from .refusals import AUTHORIZENET
from .transport import Transport

LIST_WINDOW = timedelta(days=31)  # the longest span of settlement dates that one call may name

_ROWS_PER_PAGE = 1000
_LIST_BYTES = 8_000_000
_NOT_FOUND = "E00040"
# When a batch settled, and its number.
_Batch = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of ``transaction`` rows. ``settled_at`` is None for what has not settled."""

    rows: list[Element]
    cursor: str
    settled_at: datetime | None = None


class AuthorizeNetApi:
    """The calls that an account may make. Raises NotSent or OutcomeUnknown like the transport."""

    def __init__(self, account: Account, transport: Transport) -> None:
        self._account = account
        self._transport = transport

    def create_transaction(self, reference: str, transaction: Mapping[str, Any]) -> Element:
        """Send a money call; return the answer, whatever its verdict."""
        fields = {"refId": reference, "transactionRequest": transaction}
        answer = self._send("createTransactionRequest", fields)
        if text_of(answer, "refId") not in {"", reference}:
            self.give_up("Authorize.net's answer carries the reference of another request.")
        return answer

    def merchant_details(self) -> Element:
        """The answer to getMerchantDetailsRequest."""
        return self._ask("getMerchantDetailsRequest")

    def transaction_details(self, transaction_id: str) -> Element | None:
        """The answer to getTransactionDetailsRequest; None where there is no such transaction."""
        if not (transaction_id.isascii() and transaction_id.isdigit()):
            return None
        request = "getTransactionDetailsRequest"
        answer = self._send(request, {"transId": transaction_id}, is_read=True)
        if reason_of(answer)[0] == _NOT_FOUND:
            return None
        return self._require_ok(request, answer)

    def walk(self, since: datetime, until: datetime, cursor: str = "") -> Iterator[Listed]:
        """What has not settled, then the batches that settled in between, oldest first.

        In this order, what settles meanwhile is seen twice, and never not at all.
        """
        stage, _, place = cursor.partition(" ")
        if stage != "settled":
            page, more = int(place or 1), True
            while more:
                # Newest first, so that settlement takes rows from the end and shifts none.
                rows = self._rows("getUnsettledTransactionListRequest", page, newest_first=True)
                page, more = page + 1, len(rows) == _ROWS_PER_PAGE
                yield Listed(rows, f"unsettled {page}" if more else "settled")
            place = ""
        yield from self._walk_batches(since, until, place)

    def turn_away(self, code: str, message: str) -> None:
        """Raise NotSent where the code says that the request was not let in; else do nothing."""
        reason = AUTHORIZENET.turned_away.get(code)
        if reason is not None:
            raise NotSent(
                f"Authorize.net did not let the request in: {code} {message}",
                reason=reason,
                exchanges=self._transport.take_exchanges(),
            )

    def give_up(self, message: str, code: str = "") -> NoReturn:
        """Raise OutcomeUnknown with the evidence."""
        raise OutcomeUnknown(message, code=code, exchanges=self._transport.take_exchanges())

    def _walk_batches(self, since: datetime, until: datetime, place: str) -> Iterator[Listed]:
        time, number, first_page = place.split() if place else (since.isoformat(), "0", "1")
        first = (datetime.fromisoformat(time), int(number))
        batches = [batch for batch in self._batches(first[0], until) if batch >= first]
        if not batches:
            yield Listed([], "")
        for batch, following in zip_longest(batches, batches[1:]):
            page, more = int(first_page) if batch == first else 1, True
            while more:
                rows = self._rows("getTransactionListRequest", page, batchId=str(batch[1]))
                page, more = page + 1, len(rows) == _ROWS_PER_PAGE
                yield Listed(rows, _place(batch, page) if more else _place(following), batch[0])

    def _batches(self, since: datetime, until: datetime) -> list[_Batch]:
        batches: set[_Batch] = set()
        while since < until:
            end = min(since + LIST_WINDOW, until)
            answer = self._ask(
                "getSettledBatchListRequest", firstSettlementDate=since, lastSettlementDate=end
            )
            for batch in answer.iterfind("batchList/batch"):
                try:
                    settled_at = time_of(batch, "settlementTimeUTC")
                    batches.add((settled_at, int(text_of(batch, "batchId"))))
                except ValueError as error:
                    self.give_up(f"Authorize.net lists a batch that cannot be read: {error}")
            since = end
        return sorted(batches)

    def _rows(
        self, request: str, page: int, *, newest_first: bool = False, **fields: str
    ) -> list[Element]:
        answer = self._ask(
            request,
            sorting={"orderBy": "submitTimeUTC", "orderDescending": newest_first},
            paging={"limit": _ROWS_PER_PAGE, "offset": page},
            **fields,
        )
        return answer.findall("transactions/transaction")

    def _ask(self, request: str, **fields: Any) -> Element:
        return self._require_ok(request, self._send(request, fields, is_read=True))

    def _require_ok(self, request: str, answer: Element) -> Element:
        if text_of(answer, "messages/resultCode") != "Ok":
            code, message = reason_of(answer)
            self.turn_away(code, message)
            self.give_up(f"Authorize.net did not answer {request}: {code} {message}")
        return answer

    def _send(self, request: str, fields: Mapping[str, Any], *, is_read: bool = False) -> Element:
        response = self._transport.send(
            "POST",
            f"{self._account.base_url}/xml/v1/request.api",
            headers={"Content-Type": "application/xml"},
            body=self._serialise(request, fields),
            reuse_connection=is_read,
            max_bytes=_LIST_BYTES if is_read else None,
        )
        if response.status != 200:
            self.give_up(f"Authorize.net answered with HTTP status {response.status}.")
        try:
            answer = parse_xml(response.body)
        except ValueError as error:
            self.give_up(f"Authorize.net's answer cannot be read: {error}.")
        if answer.tag not in {request.replace("Request", "Response"), "ErrorResponse"}:
            self.give_up(f"Authorize.net answered {request} with {answer.tag}.")
        return answer

    def _serialise(self, request: str, fields: Mapping[str, Any]) -> bytes:
        # 47,000 generated lines (0.2 s, 22 MB), so they wait for the first call.
        from authorizenet import apicontractsv1 as contracts
        from pyxb import ValidationError
        from pyxb.utils.domutils import BindingDOMSupport

        # The texts of these errors are left out: they quote the value, which may be the key.
        credentials = self._account.credentials
        try:
            authentication = contracts.merchantAuthenticationType(
                name=credentials["api_login_id"], transactionKey=credentials["transaction_key"]
            )
        except ValidationError:
            raise Misconfigured(
                f"The credentials of account {self._account.slug} cannot be Authorize.net's: an "
                "api_login_id has at most 25 characters, a transaction_key at most 16."
            ) from None
        try:
            built = getattr(contracts, request)(
                merchantAuthentication=authentication, **_bind_all(fields)
            )
            namespaces = BindingDOMSupport(default_namespace=contracts.Namespace)
            document: bytes = built.toxml("utf-8", bds=namespaces)
        except ValidationError as error:
            raise NotSent(
                f"The {request} breaks Authorize.net's schema ({type(error).__name__}): a value is "
                "too long or has characters that are not allowed there. Nothing was sent.",
                reason="refused_locally",
            ) from None
        return document


def _bind_all(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _bind(value) for name, value in fields.items()}


def _bind(value: Any) -> Any:
    """Mappings become elements of the type that the schema has in that place."""
    from pyxb import BIND

    match value:
        case Mapping():
            return BIND(**_bind_all(value))
        case list():
            return [_bind(each) for each in value]
        case _:
            return value


def _place(batch: _Batch | None, page: int = 1) -> str:
    """The cursor of a batch's page; empty after the last batch."""
    return f"settled {batch[0].isoformat()} {batch[1]} {page}" if batch else ""
