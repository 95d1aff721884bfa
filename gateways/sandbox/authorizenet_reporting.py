"""What Authorize.net reports: settled batches, what is in them, what waits, and details.

A batch is what one cut-off settled of one payment method; its id is made of both. Local times
are those of a merchant seven hours behind UTC, the whole year.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from gateways.moments import in_utc
from gateways.money import Money

from .authorizenet_answers import NO_RECORDS, REASONS, Answer
from .authorizenet_schema import Element, Refused, text_at
from .authorizenet_transactions import account_type
from .ledger import Ledger, LedgerPayment, LedgerRefund, Movement, SandboxAccount
from .markup import filled_leaf, leaf

TIME_ZONE = "America/Phoenix"
_BEHIND_UTC = timedelta(hours=7)
_LONGEST_SPAN = timedelta(days=31)
_METHODS = {"creditCard": 1, "eCheck": 2}
_HELD = ("FDSPendingReview", "FDSAuthorizedPendingReview", "underReview")
_PAYMENT_STATUSES = {
    "authorized": "authorizedPendingCapture",
    "captured": "capturedPendingSettlement",
    "settled": "settledSuccessfully",
    "voided": "voided",
    "failed": "declined",
}
_REFUND_STATUSES = {
    "pending": "refundPendingSettlement",
    "requires_action": "FDSPendingReview",
    "succeeded": "refundSettledSuccessfully",
    "failed": "generalError",
    "canceled": "voided",
}


_Row = TypeVar("_Row", bound=Movement)


def list_batches(ledger: Ledger, account: SandboxAccount, root: Element) -> Answer:
    """``getSettledBatchListRequest``: the batches of at most 31 days, by default of the last."""
    first, last = _span(ledger, root)
    settled = ledger.timeline(account, "all", "settled")
    batches: dict[tuple[datetime, str], list[Movement]] = defaultdict(list)
    rows = settled.at(settled.span(first, last + timedelta(microseconds=1)))
    for row in _visible(ledger, account, rows):
        batches[row.settled_at.replace(microsecond=0), _method(ledger, row)].append(row)
    if not batches:
        return NO_RECORDS
    with_statistics = text_at(root, "includeStatistics").strip() in ("true", "1")
    content = "".join(
        _batch(when, method, _statistics(ledger, rows) if with_statistics else "")
        for (when, method), rows in batches.items()
    )
    return Answer(f"<batchList>{content}</batchList>")


def list_batch(ledger: Ledger, account: SandboxAccount, root: Element) -> Answer:
    """``getTransactionListRequest``: a page of the transactions of one batch."""
    batch_id = text_at(root, "batchId")
    if not batch_id:
        raise Refused("E00014", "Batch ID is required.")
    seconds, method = int(batch_id[:-1] or "0"), int(batch_id[-1])
    try:
        when = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return NO_RECORDS
    settled = ledger.timeline(account, "all", "settled")
    rows = _visible(ledger, account, settled.at(settled.span(when, when + timedelta(seconds=1))))
    return _page(ledger, root, [row for row in rows if _METHODS[_method(ledger, row)] == method])


def list_unsettled(ledger: Ledger, account: SandboxAccount, root: Element) -> Answer:
    """``getUnsettledTransactionListRequest``: a page of what no cut-off has settled yet."""
    waiting = ledger.timeline(account, "all", "unsettled")
    rows = _visible(ledger, account, waiting.at(waiting.span()))
    if text_at(root, "status") == "pendingApproval":
        rows = [row for row in rows if _status(row) in _HELD]
    return _page(ledger, root, rows)


def _visible(ledger: Ledger, account: SandboxAccount, rows: Iterable[_Row]) -> list[_Row]:
    """The rows without those that the account's lists still lack, settled or not."""
    until = ledger.clock.now() - timedelta(seconds=account.settings.lookup_lag_seconds)
    return [row for row in rows if row.created_at <= until]


def describe(ledger: Ledger, account: SandboxAccount, root: Element) -> Answer:
    """``getTransactionDetailsRequest``: all that is known of one payment or refund."""
    trans_id = text_at(root, "transId")
    row: Movement | None = ledger.payment(account, trans_id) or ledger.refund(account, trans_id)
    if row is None or (isinstance(row, LedgerRefund) and row.operation == "void"):
        raise Refused("E00040", "The record cannot be found.")
    reference = row.extra.get("ref_id", "")
    return Answer(f"{_details(ledger, row)}{filled_leaf('transrefId', reference)}")


def _span(ledger: Ledger, root: Element) -> tuple[datetime, datetime]:
    first_text = text_at(root, "firstSettlementDate").strip()
    last_text = text_at(root, "lastSettlementDate").strip()
    if not first_text and not last_text:
        return ledger.clock.now() - timedelta(days=1), ledger.clock.now()
    if not first_text or not last_text:
        raise Refused("E00014", "First Settlement Date and Last Settlement Date are required.")
    first = in_utc(datetime.fromisoformat(first_text))
    last = in_utc(datetime.fromisoformat(last_text))
    if not timedelta() <= last - first <= _LONGEST_SPAN:
        raise Refused("E00013", "The settlement dates must span from zero to 31 days.")
    return first, last


def _page(ledger: Ledger, root: Element, rows: list[Movement]) -> Answer:
    order = text_at(root, "sorting/orderBy")
    if order:
        rows.sort(
            key=_by_number if order == "id" else _by_time,
            reverse=text_at(root, "sorting/orderDescending").strip() in ("true", "1"),
        )
    limit = int(text_at(root, "paging/limit") or 1000)
    start = (int(text_at(root, "paging/offset") or 1) - 1) * limit
    page = rows[start : start + limit]
    if not page:
        return NO_RECORDS
    summaries = "".join([_summary(ledger, row) for row in page])
    return Answer(
        f"<transactions>{summaries}</transactions>"
        f"<totalNumInResultSet>{len(rows)}</totalNumInResultSet>"
    )


def _by_number(row: Movement) -> tuple[int, str]:
    return len(row.id), row.id


def _by_time(row: Movement) -> tuple[datetime, int]:
    return row.created_at, row.serial


def _summary(ledger: Ledger, row: Movement) -> str:
    payment = _payment_of(ledger, row)
    first_name, last_name = _names(payment)
    return (
        f"<transaction><transId>{row.id}</transId>{_submitted(row)}"
        f"<transactionStatus>{_status(row)}</transactionStatus>"
        f"{filled_leaf('invoiceNumber', _invoice_number(row))}"
        f"{filled_leaf('firstName', first_name)}{filled_leaf('lastName', last_name)}"
        f"{leaf('accountType', account_type(payment))}"
        f"<accountNumber>XXXX{_last4(row, payment)}</accountNumber>"
        f"<settleAmount>{_amount(row)}</settleAmount>"
        "<marketType>eCommerce</marketType><product>Card Not Present</product></transaction>"
    )


def _details(ledger: Ledger, row: Movement) -> str:
    payment = _payment_of(ledger, row)
    reason = _reason(row)
    amount = _amount(row)
    batch = row.settled_at
    return "".join(
        (
            f"<transaction><transId>{row.id}</transId>",
            filled_leaf("refTransId", row.payment_id) if isinstance(row, LedgerRefund) else "",
            _submitted(row),
            leaf("transactionType", _transaction_type(row)),
            leaf("transactionStatus", _status(row)),
            f"<responseCode>{2 if reason == 2 else 4 if reason == 253 else 1}</responseCode>",
            f"<responseReasonCode>{reason}</responseReasonCode>",
            f"<responseReasonDescription>{REASONS[reason]}</responseReasonDescription>",
            "<authCode>000000</authCode>" if isinstance(row, LedgerPayment) else "",
            "<AVSResponse>P</AVSResponse>",
            _batch(batch, _method(ledger, row)) if batch else "",
            _order(row),
            f"<authAmount>{amount}</authAmount><settleAmount>{amount}</settleAmount>",
            _means(row, payment),
            _customer(payment),
            "<recurringBilling>false</recurringBilling><product>Card Not Present</product>",
            "<marketType>eCommerce</marketType></transaction>",
        )
    )


def _transaction_type(row: Movement) -> str:
    if isinstance(row, LedgerRefund):
        return "refundTransaction"
    return "authOnlyTransaction" if row.status == "authorized" else "authCaptureTransaction"


def _reason(row: Movement) -> int:
    if row.status == "failed":
        return 2
    return 253 if _status(row) in _HELD else 1


def _order(row: Movement) -> str:
    description = row.description[:255] if isinstance(row, LedgerPayment) else ""
    content = filled_leaf("invoiceNumber", _invoice_number(row)) + filled_leaf(
        "description", description
    )
    return f"<order>{content}</order>" if content else ""


def _means(row: Movement, payment: LedgerPayment | None) -> str:
    number = f"XXXX{_last4(row, payment)}"
    if payment and payment.method_type == "bank":
        return (
            "<payment><bankAccount><routingNumber>XXXX0025</routingNumber>"
            f"<accountNumber>{number}</accountNumber>"
            f"{leaf('nameOnAccount', (payment.payer_name or '')[:22])}"
            "<echeckType>WEB</echeckType></bankAccount></payment>"
        )
    if payment and payment.wallet:
        source = payment.wallet.replace("_", " ").title()
        return (
            f"<payment><tokenInformation>{leaf('tokenSource', source)}"
            f"<tokenNumber>{number}</tokenNumber><expirationDate>XXXX</expirationDate>"
            "</tokenInformation></payment>"
        )
    return (
        f"<payment><creditCard><cardNumber>{number}</cardNumber>"
        "<expirationDate>XXXX</expirationDate>"
        f"{leaf('cardType', account_type(payment))}</creditCard></payment>"
    )


def _customer(payment: LedgerPayment | None) -> str:
    if payment is None:
        return ""
    first_name, last_name = _names(payment)
    who = filled_leaf("id", payment.extra.get("customer_id", "")[:20]) + filled_leaf(
        "email", (payment.payer_email or "")[:255]
    )
    where = filled_leaf("firstName", first_name) + filled_leaf("lastName", last_name)
    return (f"<customer>{who}</customer>" if who else "") + (
        f"<billTo>{where}</billTo>" if where else ""
    )


def _batch(when: datetime, method: str, statistics: str = "") -> str:
    return (
        f"<batch><batchId>{int(when.timestamp())}{_METHODS[method]}</batchId>"
        f"<settlementTimeUTC>{_time(when)}Z</settlementTimeUTC>"
        f"<settlementTimeLocal>{_time(when - _BEHIND_UTC)}</settlementTimeLocal>"
        "<settlementState>settledSuccessfully</settlementState>"
        f"<paymentMethod>{method}</paymentMethod>"
        "<marketType>eCommerce</marketType><product>Card Not Present</product>"
        f"{statistics}</batch>"
    )


def _statistics(ledger: Ledger, rows: list[Movement]) -> str:
    """Counts and sums per card brand."""
    by_type: dict[str, list[Movement]] = defaultdict(list)
    for row in rows:
        by_type[account_type(_payment_of(ledger, row))].append(row)
    return "".join(
        (
            "<statistics>",
            *(_statistic(kind, found) for kind, found in sorted(by_type.items())),
            "</statistics>",
        )
    )


def _statistic(kind: str, rows: list[Movement]) -> str:
    charges = [row for row in rows if isinstance(row, LedgerPayment) and row.status == "settled"]
    refunds = [row for row in rows if isinstance(row, LedgerRefund) and row.status == "succeeded"]
    voided = sum(row.status in ("voided", "canceled") for row in rows)
    declined = sum(isinstance(row, LedgerPayment) and row.status == "failed" for row in rows)
    return (
        f"<statistic>{leaf('accountType', kind)}"
        f"<chargeAmount>{_sum(charges)}</chargeAmount><chargeCount>{len(charges)}</chargeCount>"
        f"<refundAmount>{_sum(refunds)}</refundAmount><refundCount>{len(refunds)}</refundCount>"
        f"<voidCount>{voided}</voidCount><declineCount>{declined}</declineCount>"
        "<errorCount>0</errorCount></statistic>"
    )


def _sum(rows: list[LedgerPayment] | list[LedgerRefund]) -> str:
    return (
        Money(sum(row.amount_minor for row in rows), rows[0].currency).major() if rows else "0.00"
    )


def _payment_of(ledger: Ledger, row: Movement) -> LedgerPayment | None:
    return row if isinstance(row, LedgerPayment) else ledger.payments.get(row.payment_id)


def _method(ledger: Ledger, row: Movement) -> str:
    payment = _payment_of(ledger, row)
    return "eCheck" if payment and payment.method_type == "bank" else "creditCard"


def _last4(row: Movement, payment: LedgerPayment | None) -> str:
    last4: str = payment.last4 if payment else row.extra.get("last4", "")
    return last4.rjust(4, "0")


def _status(row: Movement) -> str:
    """The processor's word; ``extra["processor_status"]`` overrules it until the row is final."""
    if isinstance(row, LedgerRefund):
        return _REFUND_STATUSES[row.status]
    if row.dispute in ("open", "chargeback") and row.status == "settled":
        return "chargeback"
    if row.status in ("settled", "voided"):
        return _PAYMENT_STATUSES[row.status]
    return row.extra.get("processor_status") or _PAYMENT_STATUSES[row.status]


def _invoice_number(row: Movement) -> str:
    return (row.reference if isinstance(row, LedgerRefund) else row.order_reference)[:20]


def _names(payment: LedgerPayment | None) -> tuple[str, str]:
    first, _, last = ((payment.payer_name if payment else "") or "").strip().partition(" ")
    return first[:50], last[:50]


def _amount(row: Movement) -> str:
    return Money(row.amount_minor, row.currency).major()


def _submitted(row: Movement) -> str:
    return (
        f"<submitTimeUTC>{_time(row.created_at)}Z</submitTimeUTC>"
        f"<submitTimeLocal>{_time(row.created_at - _BEHIND_UTC)}</submitTimeLocal>"
    )


def _time(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds")[:23]
