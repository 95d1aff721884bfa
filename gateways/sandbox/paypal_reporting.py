"""PayPal's transaction search: everything that moved on an account, with its limits and its lag."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

from gateways.moments import in_utc

from . import paypal_objects as objects
from .ledger import Ledger, LedgerPayment, LedgerRefund, Movement, SandboxAccount
from .paypal_errors import PayPalError

LONGEST = timedelta(days=31)
MOST = 10_000

# Dates of the report are in the account's own time zone.
_ZONE = timezone(timedelta(hours=-7))
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:?\d{2})", re.ASCII
)
_PARAMETERS = frozenset(
    """balance_affecting_records_only end_date fields page page_size payment_instrument_type
    start_date store_id terminal_id transaction_amount transaction_currency transaction_id
    transaction_status transaction_type""".split()
)
_FIELDS = frozenset(
    """all auction_info cart_info incentive_info payer_info shipping_info store_info
    transaction_info""".split()
)
_REFUND_STATUS = {"pending": "P", "succeeded": "S", "failed": "D", "canceled": "V"}
_PAYMENT_STATUS = {"authorized": "P", "captured": "P", "settled": "S", "voided": "V", "failed": "D"}


def search(
    ledger: Ledger, account: SandboxAccount, query: list[tuple[str, str]], base: str
) -> dict[str, Any]:
    """One page of the report. Raises PayPalError. Call it with the ledger's lock held."""
    asked = dict(query)
    for name in asked:
        if name not in _PARAMETERS:
            raise _bad(name, "INVALID_PARAMETER_VALUE", f"Unknown parameter {name}.")
    since, until = _moment(asked, "start_date"), _moment(asked, "end_date")
    if until < since:
        raise _bad("end_date", "INVALID_PARAMETER_VALUE", "end_date is before start_date.")
    if until - since > LONGEST:
        raise _bad("end_date", "INVALID_REQUEST", "Date range is greater than 31 days")
    page, size = _number(asked, "page", 1, 2**31 - 1, 1), _number(asked, "page_size", 1, 500, 100)
    fields = frozenset(asked.get("fields", "transaction_info").split(","))
    if not fields <= _FIELDS:
        raise _bad(
            "fields", "INVALID_PARAMETER_VALUE", f"fields are of {', '.join(sorted(_FIELDS))}."
        )
    fresh = ledger.clock.now() - timedelta(seconds=account.settings.lookup_lag_seconds)
    rows = _matching(ledger, account, asked, since, min(until, fresh))
    if len(rows) > MOST:
        raise PayPalError(
            status=400, name="RESULTSET_TOO_LARGE", total_items=len(rows), maximum_items=MOST
        )
    shown = rows[(page - 1) * size : page * size]
    answer: dict[str, Any] = {
        "account_number": objects.merchant_id(account),
        "start_date": _written(since),
        "end_date": _written(min(until, fresh)),
        "last_refreshed_datetime": _written(fresh),
        "page": page,
        "total_items": len(rows),
        "total_pages": -(-len(rows) // size),
        "links": [objects.link(base, "/v1/reporting/transactions", "self")],
    }
    if shown:
        answer["transaction_details"] = [_detail(ledger, row, fields) for row in shown]
    return answer


def _matching(
    ledger: Ledger, account: SandboxAccount, asked: dict[str, str], since: datetime, until: datetime
) -> list[Movement]:
    line = ledger.timeline(account, "all", "created")
    rows: list[Movement] = line.at(line.span(since, until + timedelta(seconds=1)))
    rows = [row for row in rows if row.created_at <= until]
    if asked.get("balance_affecting_records_only", "Y") != "N":
        rows = [row for row in rows if row.status in ("settled", "succeeded")]
    if currency := asked.get("transaction_currency"):
        rows = [row for row in rows if row.currency == currency]
    if wanted := asked.get("transaction_id"):
        rows = [row for row in rows if row.id == wanted or _reference(row) == wanted]
    if kind := asked.get("transaction_type"):
        rows = [row for row in rows if _code(row) == kind]
    if status := asked.get("transaction_status"):
        rows = [row for row in rows if _status(row) == status]
    if amounts := asked.get("transaction_amount"):
        low, high = _amounts(amounts)
        rows = [row for row in rows if low <= row.amount_minor <= high]
    return rows


def _detail(ledger: Ledger, row: Movement, fields: frozenset[str]) -> dict[str, Any]:
    paid = isinstance(row, LedgerPayment)
    payment = row if isinstance(row, LedgerPayment) else ledger.payments[row.payment_id]
    everything = "all" in fields
    detail: dict[str, Any] = {}
    if everything or "transaction_info" in fields:
        info: dict[str, Any] = {
            "paypal_account_id": objects.payer_id(payment),
            "transaction_id": row.id,
            **_origin(row),
            "transaction_event_code": _code(row),
            "transaction_initiation_date": _written(row.created_at),
            "transaction_updated_date": _written(row.modified_at or row.created_at),
            "transaction_amount": objects.money(
                row.amount_minor if paid else -row.amount_minor, row.currency
            ),
            "transaction_status": _status(row),
            "protection_eligibility": "01",
            **objects.instrument(payment),
        }
        if paid and row.status == "settled":
            info["fee_amount"] = objects.money(-objects.fee(payment), row.currency)
        info.update(_texts(row))
        detail["transaction_info"] = info
    if everything or "payer_info" in fields:
        detail["payer_info"] = _payer(payment)
    if everything or "cart_info" in fields:
        detail["cart_info"] = {}
    return detail


def _texts(row: Movement) -> dict[str, str]:
    """Invoice id and custom field: a payment's own, or a refund's own."""
    if isinstance(row, LedgerRefund):
        known = {"invoice_id": "invoice_id", "custom_field": "custom_id"}
        return {name: row.extra[key] for name, key in known.items() if row.extra.get(key)}
    texts = {"invoice_id": row.order_reference, "custom_field": row.order_reference}
    return {name: text for name, text in texts.items() if text}


def _payer(payment: LedgerPayment) -> dict[str, Any]:
    payer: dict[str, Any] = {"account_id": objects.payer_id(payment)}
    if payment.payer_email:
        payer["email_address"] = payment.payer_email
    if payment.payer_name:
        payer["payer_name"] = {
            **objects.names(payment),
            "alternate_full_name": payment.payer_name,
        }
    return payer


def _origin(row: Movement) -> dict[str, str]:
    """What the row refers to: a refund to its payment, a payment to its order."""
    if isinstance(row, LedgerRefund):
        return {"paypal_reference_id": row.payment_id, "paypal_reference_id_type": "TXN"}
    order = objects.order_id(row)
    return {"paypal_reference_id": order, "paypal_reference_id_type": "ODR"} if order else {}


def _reference(row: Movement) -> str:
    return _origin(row).get("paypal_reference_id", "")


def _code(row: Movement) -> str:
    if isinstance(row, LedgerRefund):
        return "T1107"
    if row.status in ("authorized", "voided"):
        return "T1300"
    if not objects.order_id(row):
        return "T0007"
    return "T0005" if row.method_type == "card" and not row.wallet else "T0006"


def _status(row: Movement) -> str:
    known = _REFUND_STATUS if isinstance(row, LedgerRefund) else _PAYMENT_STATUS
    return known[row.status]


def _written(moment: datetime) -> str:
    return moment.astimezone(_ZONE).isoformat(timespec="seconds")


def _moment(asked: dict[str, str], name: str) -> datetime:
    text = asked.get(name)
    if not text:
        raise _bad(name, "MISSING_REQUIRED_PARAMETER", f"{name} is required.")
    if not _TIME.fullmatch(text):
        raise _bad(name, "INVALID_PARAMETER_SYNTAX", f"{name} is not a time with seconds and zone.")
    try:
        return in_utc(datetime.fromisoformat(text.upper()))
    except ValueError as error:
        raise _bad(name, "INVALID_PARAMETER_SYNTAX", f"{name} is not a time.") from error


def _number(asked: dict[str, str], name: str, low: int, high: int, default: int) -> int:
    text = asked.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise _bad(name, "INVALID_PARAMETER_VALUE", f"{name} is a number from {low} to {high}.")
    return int(text)


def _amounts(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,12}) TO ([0-9]{1,12})", text, re.ASCII)
    if not found:
        raise _bad("transaction_amount", "INVALID_PARAMETER_SYNTAX", "Write it as `500 TO 1005`.")
    return int(found[1]), int(found[2])


def _bad(field: str, issue: str, description: str) -> PayPalError:
    error = PayPalError(issue, status=400, description=description)
    error.body["details"][0].update(field=field, location="query")
    return error
