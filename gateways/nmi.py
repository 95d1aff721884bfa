"""NMI and its resellers: form posts to transact.php, XML from query.php, no SDK.

There are no idempotency keys. A money call is one shot. The attempt's reference travels as the
refund's order id, which is how :meth:`NmiGateway.find_refund` recognises what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar, NoReturn, TypeVar
from urllib.parse import parse_qsl, urlencode

from .base import (
    Capabilities,
    Failure,
    FailureCode,
    Lookup,
    Operation,
    Page,
    Payment,
    PaymentGateway,
    RefundOrder,
    RefundResult,
    RefundState,
    ReportedRefund,
    Reread,
    WebhookNotice,
)
from .errors import NotSent, OutcomeUnknown
from .hardened_xml import Element, parse_xml, text_of
from .money import exponent_of, write_amount
from .nmi_records import is_voided, last4_of, read_payments, read_refunds, transaction_id_of
from .nmi_webhooks import check_signature, read_notice
from .pages import read_page
from .refusals import NMI, NMI_REJECTIONS, Codes
from .transport import Response
from .webhook_deliveries import Delivery, secret_of

Record = TypeVar("Record")

_CLOCK_DIFFERENCE = timedelta(minutes=5)
_ROWS_PER_PAGE = 500
_LIST_BYTES = 8_000_000

_APPROVED, _DECLINED, _ERROR = "1", "2", "3"
_APPROVED_CODE, _REJECTED_CODE = "100", "300"

_SUPPORT_REFERENCE = re.compile(r"\s*REFID:.*", re.DOTALL | re.IGNORECASE)


class NmiGateway(PaymentGateway):
    """See :class:`~gateways.base.PaymentGateway`. ``base_url`` may be a reseller's.

    Lists go by the time of the last change, so a settled or refunded payment is listed again.
    """

    processor = "nmi"
    label = "NMI"
    capabilities = Capabilities(
        idempotency_key_life=None,
        voids_unsettled=True,
        refund_age_limit=None,  # it is the bank's, and not documented
        lookup_lag=timedelta(minutes=15),
        lists_by_modification=True,
        keeps_references=False,  # some accounts drop the order id of a refund
    )
    credential_names = ("security_key",)
    webhook_credential_names = ("webhook_signing_key",)
    default_base_urls: ClassVar[Mapping[str, str]] = {
        "live": "https://secure.nmi.com",
        "test": "https://sandbox.nmi.com",
    }

    def list_payments(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[Payment]]:
        """Pages of the payments that changed in the window."""
        for rows, following in self._pages(int(cursor or 0), **_window(since, until)):
            yield read_page(rows, self._payments_of, transaction_id_of, following)

    def get_payment(self, payment_id: str) -> Payment | None:
        """The payment; None for an unknown id, or one of a refund."""
        transaction = self._transaction(payment_id)
        payments = [] if transaction is None else self._read(self._payments_of, [transaction])
        return payments[0] if payments else None

    def list_refunds(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[ReportedRefund]]:
        """Pages of the refunds that changed in the window. A void is the status of its payment."""
        filters = {"action_type": "refund", **_window(since, until)}
        for rows, following in self._pages(int(cursor or 0), **filters):
            yield read_page(rows, self._refunds_of, transaction_id_of, following)

    def refund(self, order: RefundOrder) -> RefundResult:
        """Refund a payment. The amount is always explicit: without one, NMI gives all back."""
        self._begin(order)
        amount = write_amount(order.amount, decimals=max(2, exponent_of(order.amount.currency)))
        answer = self._transact(order, "refund", amount=amount, orderid=order.reference)
        return self._judge(order, answer, Operation.REFUND)

    def void(self, order: RefundOrder) -> RefundResult:
        """Cancel a payment before it settles, always whole."""
        self._begin(order)
        return self._judge(order, self._transact(order, "void"), Operation.VOID)

    def find_refund(self, order: RefundOrder) -> Lookup:
        """Search by our order id; where NMI kept none, say which refunds look like ours.

        A void has no record of its own: the condition of the payment speaks.
        """
        self.transport.take_exchanges()
        complete, likely = True, list[ReportedRefund]()
        if order.operation is Operation.VOID:
            matches, complete = self._find_void(order)
        else:
            matches = self._find_by_id(order) or self._find_by_reference(order)
            if not matches:
                likely, complete = self._find_by_likeness(order)
        return Lookup(tuple(matches), complete, self.transport.take_exchanges(), tuple(likely))

    def parse_webhook(
        self, headers: Mapping[str, str], body: bytes, *, received_at: datetime | None = None
    ) -> WebhookNotice:
        key = secret_of(self.account, "webhook_signing_key")
        delivery = Delivery.of(headers, body, received_at)
        check_signature(delivery, key)
        return delivery.notice(partial(read_notice, mode=self.account.mode))

    def read_again(self, notice: WebhookNotice) -> Reread:
        """A refund that is a transaction of its own does not name its payment."""
        self.transport.take_exchanges()
        with self.transport.one_deadline():
            named = [self._transaction(each) for each in (notice.payment_id, notice.refund_id)]
            known = [transaction for transaction in named if transaction is not None]
            payments = self._read(self._payments_of, known)
            refunds = self._read(self._refunds_of, known)
            if not known and notice.reference:
                refunds = self._search(order_id=notice.reference, action_type="refund")
        return Reread(tuple(payments), tuple(refunds))

    def check_credentials(self) -> str:
        """Read the account's profile and say whose it is."""
        profile = self._query(report_type="profile")
        is_test = text_of(profile, ".//test_mode_enabled") == "true"
        company = text_of(profile, ".//company") or "without a name"
        return f"NMI accepts the key of account {company}{', in test mode' if is_test else ''}."

    def _transact(self, order: RefundOrder, kind: str, **fields: str) -> dict[str, str]:
        """Send a money call; return the fields of its answer."""
        if order.method_type == "bank":
            fields["payment"] = "check"
        form = {"type": kind, "transactionid": order.payment_id, **fields}
        response = self._post("/api/transact.php", form)
        text = response.body.decode("utf-8", "replace").strip()
        pairs = parse_qsl(text, keep_blank_values=True)
        answer = dict(pairs)
        if len(answer) < len(pairs):
            self._give_up("NMI's answer names a field twice.")
        return answer

    def _judge(
        self, order: RefundOrder, answer: Mapping[str, str], operation: Operation
    ) -> RefundResult:
        verdict, code = answer.get("response", ""), answer.get("response_code", "")
        text = _SUPPORT_REFERENCE.sub("", answer.get("responsetext", ""))
        if verdict == _APPROVED and code == _APPROVED_CODE:
            self._check_echo(order, answer, operation)
            exchanges = self.transport.take_exchanges()
            return RefundResult(RefundState.SUCCEEDED, answer["transactionid"], exchanges=exchanges)
        codes, told = _told_by(code, text)
        if told in codes.turned_away:
            self._turn_away(f"NMI did not let the request in: {text}", codes.turned_away[told])
        failure = _failure_of(verdict, codes, told)
        if failure is None:
            self._give_up(f"NMI's answer proves nothing: {verdict} {code} {text}", told)
        return RefundResult(
            RefundState.FAILED,
            failure=Failure(failure, code, text),
            exchanges=self.transport.take_exchanges(),
        )

    def _check_echo(
        self, order: RefundOrder, answer: Mapping[str, str], operation: Operation
    ) -> None:
        """Give up on an approval that is not clearly of what was asked for."""
        new_id = answer.get("transactionid", "")
        if operation is Operation.VOID:
            is_ours = new_id == order.payment_id
        else:
            is_new = new_id not in {"", order.payment_id}
            is_ours = is_new and answer.get("orderid", "") in {"", order.reference}
        if not is_ours or answer.get("type", "") not in {"", operation.value}:
            self._give_up("NMI approved, but its answer names another transaction or order.")

    def _find_void(self, order: RefundOrder) -> tuple[list[ReportedRefund], bool]:
        payment = self._transaction(order.payment_id)
        if payment is None or not is_voided(payment):
            return [], payment is not None
        void = ReportedRefund(
            external_id=order.payment_id,
            payment_id=order.payment_id,
            amount=order.payment_amount,
            state=RefundState.SUCCEEDED,
            created_at=order.first_sent_at or datetime.now(UTC),
            operation=Operation.VOID,
            reference=order.reference,
            last4=last4_of(payment),
        )
        return [void], True

    def _find_by_id(self, order: RefundOrder) -> list[ReportedRefund]:
        transaction = self._transaction(order.refund_id)
        return [] if transaction is None else self._read(self._refunds_of, [transaction])

    def _find_by_reference(self, order: RefundOrder) -> list[ReportedRefund]:
        found = self._search(order_id=order.reference, action_type="refund")
        return [
            replace(refund, payment_id=order.payment_id)
            for refund in found
            if refund.reference == order.reference
        ]

    def _find_by_likeness(self, order: RefundOrder) -> tuple[list[ReportedRefund], bool]:
        """Refunds of the same card and amount since the order was sent, without a reference.

        An equal refund, sent a minute earlier or made by hand, looks exactly so: this is no proof.
        Where not even the payment is shown, that there is none says nothing either.
        """
        if order.first_sent_at is None:
            return [], True
        payment = self._transaction(order.payment_id)
        if payment is None:
            return [], False
        since = order.first_sent_at - _CLOCK_DIFFERENCE
        own = self._read(self._refunds_of, [payment])
        shown = (*own, *self._list_like(order, payment, since))
        found = [
            refund
            for refund in {each.external_id: each for each in shown}.values()
            if refund.amount == order.amount
            and refund.created_at >= since
            and refund.state is not RefundState.FAILED  # a refusal that is not ours proves nothing
        ]
        return found, True

    def _list_like(
        self, order: RefundOrder, payment: Element, since: datetime
    ) -> list[ReportedRefund]:
        """Refunds of the same card that name no other payment."""
        # The order id of a refund by hand is the payment's, or none.
        inherited = {"", text_of(payment, "order_id")}
        card = {"cc_number": last4_of(payment)} if order.method_type == "card" else {}
        window = _window(since, datetime.now(UTC))
        return [
            replace(refund, payment_id=order.payment_id, reference="")
            for refund in self._search(action_type="refund", **window, **card)
            if refund.payment_id in {"", order.payment_id}
            and refund.last4 == last4_of(payment)
            and refund.reference in inherited
        ]

    def _payments_of(self, transaction: Element) -> list[Payment]:
        return read_payments(transaction, self.account.currency)

    def _refunds_of(self, transaction: Element) -> list[ReportedRefund]:
        return read_refunds(transaction, self.account.currency)

    def _read(
        self, read: Callable[[Element], list[Record]], transactions: Iterable[Element]
    ) -> list[Record]:
        """The records of all transactions; one that cannot be read spoils the answer."""
        try:
            return [record for transaction in transactions for record in read(transaction)]
        except ValueError as error:
            self._give_up(f"NMI's answer cannot be read: {error}")

    def _transaction(self, transaction_id: str) -> Element | None:
        if not (transaction_id.isascii() and transaction_id.isalnum()):
            return None  # a comma would ask for several
        rows = self._query(transaction_id=transaction_id).iterfind("transaction")
        return next((row for row in rows if transaction_id_of(row) == transaction_id), None)

    def _search(self, **filters: str) -> list[ReportedRefund]:
        rows = [row for page, _ in self._pages(0, **filters) for row in page]
        return self._read(self._refunds_of, rows)

    def _pages(self, number: int, **filters: str) -> Iterator[tuple[list[Element], str]]:
        """Pages of new transactions, each with the cursor of the next; empty after the last.

        NMI's documents disagree whether pages count from 0 or from 1. So page 0 may be empty, or
        the same as page 1; any later page without news is the end.
        """
        seen: set[str] = set()
        while True:
            answer = self._query(
                **filters, result_limit=str(_ROWS_PER_PAGE), page_number=str(number)
            )
            rows = answer.findall("transaction")
            new = [row for row in rows if transaction_id_of(row) not in seen]
            is_last = not new and (number > 1 or (number == 1 and not rows))
            number += 1
            yield new, "" if is_last else str(number)
            if is_last:
                return
            seen = {transaction_id_of(row) for row in rows}

    def _query(self, **form: str) -> Element:
        response = self._post("/api/query.php", form, is_read=True)
        try:
            answer = parse_xml(response.body)
        except ValueError as error:
            self._give_up(f"NMI's answer cannot be read: {error}.")
        if answer.tag != "nm_response":
            self._give_up(f"NMI answered a query with {answer.tag}.")
        refusal = answer.find("error_response")
        if refusal is not None:
            text = _SUPPORT_REFERENCE.sub("", refusal.text or "")
            if _told_by(_REJECTED_CODE, text)[1] in NMI_REJECTIONS.turned_away:
                self._turn_away(f"NMI did not accept our key: {text}", "credentials")
            self._give_up(f"NMI refused the query: {text}")
        return answer

    def _post(self, path: str, form: Mapping[str, str], *, is_read: bool = False) -> Response:
        credentials = {"security_key": self.account.credentials["security_key"]}
        response = self.transport.send(
            "POST",
            self.account.base_url + path,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({**credentials, **form}).encode(),
            reuse_connection=is_read,
            max_bytes=_LIST_BYTES if is_read else None,
        )
        # 429 included: only other processors document that it comes before anything is done.
        if response.status != 200:
            self._give_up(f"NMI answered with HTTP status {response.status}.")
        return response

    def _turn_away(self, message: str, reason: str) -> NoReturn:
        raise NotSent(message, reason=reason, exchanges=self.transport.take_exchanges())

    def _give_up(self, message: str, code: str = "") -> NoReturn:
        raise OutcomeUnknown(message, code=code, exchanges=self.transport.take_exchanges())


def _told_by(code: str, text: str) -> tuple[Codes, str]:
    """Where an answer is looked up, and as what: by its code, or by how its text begins."""
    if code != _REJECTED_CODE:
        return NMI, code
    said = text.lower()
    texts = (*NMI_REJECTIONS.refused, *NMI_REJECTIONS.turned_away, *NMI_REJECTIONS.open)
    return NMI_REJECTIONS, next((known for known in texts if said.startswith(known)), said)


def _failure_of(verdict: str, codes: Codes, told: str) -> FailureCode | None:
    """Our code for a refusal that certainly moved no money; None for anything else."""
    if verdict not in {_DECLINED, _ERROR} or told in codes.open:
        return None
    # A declined refund is one, whatever its code; anything else must be a known refusal.
    declined = verdict == _DECLINED and codes is NMI and told
    return codes.refused.get(told, FailureCode.OTHER if declined else None)


def _window(since: datetime, until: datetime) -> dict[str, str]:
    """Newest change first and without an end, if that is now: then no page can miss a row.

    What changes meanwhile moves to the front; with an end it would drop out, and pull a row from
    the next page into the one just read.
    """
    is_past = until < datetime.now(UTC) - _CLOCK_DIFFERENCE
    end = {"end_date": _stamp(until)} if is_past else {}
    return {"start_date": _stamp(since), **end, "result_order": "reverse"}


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y%m%d%H%M%S")
