"""NMI's ``query.php``: which transactions, in which order, which page.

A field that the sandbox does not serve is an error here, so that nobody takes an unfiltered
list for a filtered one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from .http import Reply
from .ledger import Ledger, Movement, SandboxAccount
from .markup import leaf
from .nmi_answers import Rejected, query_answer
from .nmi_records import (
    actions_of,
    card_number,
    condition_of,
    names_of,
    order_id,
    payment_of,
    transaction,
)

_CONDITIONS = frozenset(
    (
        "pending",
        "pendingsettlement",
        "in_progress",
        "abandoned",
        "failed",
        "canceled",
        "complete",
        "unknown",
    )
)
_WORDS = {
    "condition": _CONDITIONS,
    "transaction_type": frozenset(("cc", "ck", "cs")),
    "action_type": frozenset(
        ("sale", "refund", "credit", "auth", "capture", "void", "return", "validate")
    ),
    "result_order": frozenset(("standard", "reverse")),
}
_FIELDS = frozenset(
    (
        "security_key",
        "report_type",
        "processor_details",
        "condition",
        "transaction_type",
        "action_type",
        "source",
        "transaction_id",
        "order_id",
        "first_name",
        "last_name",
        "email",
        "cc_number",
        "start_date",
        "end_date",
        "result_limit",
        "page_number",
        "result_order",
    )
)

Predicate = Callable[[Movement], bool]


def answer(ledger: Ledger, account: SandboxAccount, fields: Mapping[str, str]) -> Reply:
    """The report that was asked for. Raises Rejected for a field that cannot be."""
    for name in fields.keys() - _FIELDS:
        raise Rejected(f"Unsupported field {name}")
    for name, words in _WORDS.items():
        if not words.issuperset(_listed(fields.get(name, ""))):
            raise Rejected(f"Invalid {name}")
    report = fields.get("report_type") or "transaction"
    if report == "test_mode_status":
        return query_answer(leaf("test_mode_enabled", str(account.settings.test_mode).lower()))
    if report == "profile":
        return query_answer(_profile(account, fields))
    if report != "transaction":
        raise Rejected("Invalid report_type")
    return query_answer(_transactions(ledger, account, fields))


def _transactions(ledger: Ledger, account: SandboxAccount, fields: Mapping[str, str]) -> str:
    visible_until = ledger.clock.now() - timedelta(seconds=account.settings.lookup_lag_seconds)
    rows = _page(ledger, account, fields, visible_until)
    return "".join(
        [transaction(ledger, row, actions_of(ledger, account, row, visible_until)) for row in rows]
    )


def _page(
    ledger: Ledger, account: SandboxAccount, fields: Mapping[str, str], visible_until: datetime
) -> Iterable[Movement]:
    predicates = _predicates(ledger, account, fields, visible_until)
    start, stop = _bounds(account, fields)
    timeline = ledger.timeline(account, "all", "modified")
    positions = _positions(ledger, account, fields)
    if not predicates and account.settings.refund_shape == "A":
        return timeline.at(positions[start:stop])
    rows: Iterable[Movement] = timeline.at(positions)
    if account.settings.refund_shape == "B":
        # A refund is seen on its payment, which shows once.
        rows = {(paid := payment_of(ledger, row)).id: paid for row in rows}.values()
    found = (row for row in rows if all(matches(row) for matches in predicates))
    return islice(found, start, stop)


def _positions(ledger: Ledger, account: SandboxAccount, fields: Mapping[str, str]) -> Sequence[int]:
    """Where in the order of changes the wanted ids and dates stand."""
    timeline = ledger.timeline(account, "all", "modified")
    positions: Sequence[int] = timeline.span(_date(fields, "start_date"), _end(fields))
    ids = _listed(fields.get("transaction_id", ""))
    if ids:
        rows: list[Movement | None] = [ledger.payment(account, row_id) for row_id in ids]
        if account.settings.refund_shape == "A":
            rows += [ledger.refund(account, row_id) for row_id in ids]
        places = {timeline.position(row) for row in rows if row}
        positions = sorted(place for place in places if place is not None and place in positions)
    return positions[::-1] if fields.get("result_order") == "reverse" else positions


def _bounds(account: SandboxAccount, fields: Mapping[str, str]) -> tuple[int, int | None]:
    """The first and one past the last result of the page."""
    limit = _number(fields, "result_limit")
    if limit is None:
        return 0, None
    if limit == 0:
        raise Rejected("Invalid result_limit")
    # Where pages count from 1, page 0 is the first one, too.
    page = max(0, (_number(fields, "page_number") or 0) - account.settings.first_page)
    return page * limit, (page + 1) * limit


def _predicates(
    ledger: Ledger, account: SandboxAccount, fields: Mapping[str, str], visible_until: datetime
) -> list[Predicate]:
    """One test per filter that the query has, the cheapest first."""
    makers: dict[str, Callable[[str, frozenset[str]], Predicate]] = {
        "order_id": lambda value, _: lambda row: order_id(row) == value,
        "condition": lambda _, words: lambda row: condition_of(row) in words,
        "transaction_type": lambda _, words: lambda row: _type(ledger, row) in words,
        "cc_number": lambda value, _: lambda row: _has_number(ledger, row, value),
        "first_name": lambda value, _: lambda row: names_of(payment_of(ledger, row))[0] == value,
        "last_name": lambda value, _: lambda row: names_of(payment_of(ledger, row))[1] == value,
        "email": lambda value, _: lambda row: payment_of(ledger, row).payer_email == value,
        "action_type": lambda _, words: (
            lambda row: any(
                action.kind in words for action in actions_of(ledger, account, row, visible_until)
            )
        ),
        "source": lambda _, words: (
            lambda row: any(
                action.source in words for action in actions_of(ledger, account, row, visible_until)
            )
        ),
    }
    predicates = [
        make(fields[name], frozenset(_listed(fields[name])))
        for name, make in makers.items()
        if fields.get(name)
    ]
    if account.settings.lookup_lag_seconds:
        named = [
            ledger.payment(account, each) for each in _listed(fields.get("transaction_id", ""))
        ]
        predicates.insert(0, lambda row: row.created_at <= visible_until or row in named)
    return predicates


def _type(ledger: Ledger, row: Movement) -> str:
    return "ck" if payment_of(ledger, row).method_type == "bank" else "cc"


def _has_number(ledger: Ledger, row: Movement, value: str) -> bool:
    """By the whole number or its last four; the sandbox knows no more than these."""
    number = card_number(payment_of(ledger, row))
    return bool(number) and number[-4:] == value[-4:] and len(value) in (4, len(number))


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _number(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name, "")
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,9}", text):
        raise Rejected(f"Invalid {name}")
    return int(text)


def _date(fields: Mapping[str, str], name: str) -> datetime | None:
    text = fields.get(name, "")
    if not text:
        return None
    # strptime alone would take shorter numbers, too.
    digits = text if re.fullmatch("[0-9]{14}", text) else ""
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise Rejected(f"Invalid {name}") from None


def _end(fields: Mapping[str, str]) -> datetime | None:
    """One past the second that ``end_date`` names."""
    last = _date(fields, "end_date")
    return last + timedelta(seconds=1) if last else None


def _profile(account: SandboxAccount, fields: Mapping[str, str]) -> str:
    """Who the account belongs to; with ``processor_details`` also what it takes."""
    merchant = (
        f"<merchant>{leaf('company', account.name)}<email>merchant@example.com</email>"
        "<phone></phone><timezone>UTC</timezone><account_status>active</account_status>"
        f"{leaf('test_mode_enabled', str(account.settings.test_mode).lower())}</merchant>"
    )
    if fields.get("processor_details") != "true":
        return merchant
    currencies = "".join(leaf("currency", currency) for currency in account.currencies)
    return (
        f"{merchant}<processor><processor_id>sandbox</processor_id>"
        f"<description>Sandbox</description>{currencies}</processor>"
    )
