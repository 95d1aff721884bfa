"""Authorize.net: refunds of settled payments, voids of unsettled ones, and no idempotency keys.

A money call is one shot. The attempt's reference, which Authorize.net stores as refId and as
invoice number, is how :meth:`AuthorizeNetGateway.find_refund` recognises what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from .authorizenet_api import LIST_WINDOW, AuthorizeNetApi
from .authorizenet_records import (
    has_refund_status,
    is_ambiguous,
    method_of,
    read_payment,
    read_refund,
    read_summary,
    reason_of,
    transaction_id_of,
)
from .authorizenet_webhooks import check_signature, read_notice
from .base import (
    Account,
    Capabilities,
    Failure,
    FailureCode,
    Lookup,
    Operation,
    Page,
    Payment,
    PaymentGateway,
    PaymentStatus,
    RefundOrder,
    RefundResult,
    RefundState,
    ReportedRefund,
    Reread,
    WebhookNotice,
)
from .errors import GatewayError, Misconfigured, NotSent, OutcomeUnknown
from .hardened_xml import Element, text_of
from .money import exponent_of, write_amount
from .pages import read_page
from .refusals import AUTHORIZENET
from .transport import Transport
from .webhook_deliveries import Delivery, secret_of

_AGE_LIMIT = timedelta(days=180)
_DAY = timedelta(days=1)
_DUPLICATE_WINDOW = "28800"  # seconds, the longest: an equal request within it is answered with 11

_APPROVED, _DECLINED, _HELD = "1", "2", "4"
_CRITERIA_NOT_MET = "54"
_ALREADY_VOIDED, _ALREADY_CAPTURED = "310", "311"


class AuthorizeNetGateway(PaymentGateway):
    """See :class:`~gateways.base.PaymentGateway`.

    A list reports everything that has not settled, whatever its age, then the batches that settled
    within the window.
    """

    processor = "authorizenet"
    label = "Authorize.net"
    capabilities = Capabilities(
        idempotency_key_life=None,
        voids_unsettled=True,
        refund_age_limit=_AGE_LIMIT,
        lookup_lag=timedelta(minutes=10),
        list_window=LIST_WINDOW,
        lists_by_modification=True,
    )
    credential_names = ("api_login_id", "transaction_key")
    webhook_credential_names = ("signature_key",)
    default_base_urls: ClassVar[Mapping[str, str]] = {
        "live": "https://api2.authorize.net",
        "test": "https://apitest.authorize.net",
    }

    def __init__(self, account: Account, transport: Transport) -> None:
        super().__init__(account, transport)
        self._api = AuthorizeNetApi(account, transport)
        self._known_currency = account.currency

    def list_payments(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[Payment]]:
        """Pages of payments, most without e-mail and description, which only details have."""
        for listed in self._api.walk(since, until, cursor):
            read = partial(self._payments_of, settled_at=listed.settled_at)
            yield read_page(listed.rows, read, transaction_id_of, listed.cursor)

    def get_payment(self, payment_id: str) -> Payment | None:
        """The payment with all its details; None for an unknown id, or one of a refund."""
        answer = self._api.transaction_details(payment_id)
        if answer is None:
            return None
        try:
            return read_payment(answer, self._currency())
        except ValueError as error:
            self._api.give_up(f"Payment {payment_id} cannot be read: {error}")

    def list_refunds(
        self, since: datetime, until: datetime, cursor: str = ""
    ) -> Iterator[Page[ReportedRefund]]:
        """Pages of refunds. Each costs a call for its details: lists do not name the payment.

        A voided payment is a status of that payment, and not reported here.
        """
        for listed in self._api.walk(since, until, cursor):
            yield read_page(listed.rows, self._refunds_of, transaction_id_of, listed.cursor)

    def refund(self, order: RefundOrder) -> RefundResult:
        """Refund a settled payment.

        Approved is reported as succeeded, as by other processors: the money is on its way with the
        next batch. Should it come back, the refund is found returned.
        """
        self._begin(order)
        answer = self._api.create_transaction(
            order.reference,
            {
                "transactionType": "refundTransaction",
                "amount": write_amount(order.amount, decimals=2),
                "currencyCode": order.amount.currency,
                "payment": self._payment_source(order),
                "refTransId": order.payment_id,
                "order": {"invoiceNumber": order.reference},
                "transactionSettings": {
                    "setting": [
                        {"settingName": "duplicateWindow", "settingValue": _DUPLICATE_WINDOW}
                    ]
                },
            },
        )
        result = self._judge(order, answer, Operation.REFUND)
        if result.failure is not None and result.failure.processor_code == _CRITERIA_NOT_MET:
            result = replace(result, failure=self._explain(order, result.failure))
        return replace(result, exchanges=self.transport.take_exchanges())

    def void(self, order: RefundOrder) -> RefundResult:
        """Void an unsettled payment; one that was voided already counts as done."""
        self._begin(order)
        answer = self._api.create_transaction(
            order.reference,
            {"transactionType": "voidTransaction", "refTransId": order.payment_id},
        )
        result = self._judge(order, answer, Operation.VOID)
        return replace(result, exchanges=self.transport.take_exchanges())

    def find_refund(self, order: RefundOrder) -> Lookup:
        """Search by reference: what has not settled, then the batches since the order was sent.

        A void has no record of its own: the status of the payment speaks.
        """
        self.transport.take_exchanges()
        complete = True
        if order.operation is Operation.VOID:
            matches, complete = self._find_void(order)
        elif order.refund_id:
            matches = self._refunds_with_id(order.refund_id)
        else:
            matches = self._search(order)
        return Lookup(tuple(matches), complete, self.transport.take_exchanges())

    def parse_webhook(
        self, headers: Mapping[str, str], body: bytes, *, received_at: datetime | None = None
    ) -> WebhookNotice:
        key = secret_of(self.account, "signature_key")
        delivery = Delivery.of(headers, body, received_at)
        check_signature(delivery, key)
        return delivery.notice(read_notice)

    def read_again(self, notice: WebhookNotice) -> Reread:
        """What is named, and the payment of a refund; a payment does not say what was refunded."""
        self.transport.take_exchanges()
        payments: dict[str, Payment] = {}
        refunds: dict[str, ReportedRefund] = {}
        with self.transport.one_deadline():
            for named in filter(None, (notice.refund_id, notice.payment_id)):
                refunds |= {refund.external_id: refund for refund in self._refunds_with_id(named)}
            of_refunds = {refund.payment_id for refund in refunds.values()}
            for payment_id in sorted({notice.payment_id, *of_refunds} - {"", *refunds}):
                payment = self.get_payment(payment_id)
                payments |= {payment_id: payment} if payment is not None else {}
        return Reread(tuple(payments.values()), tuple(refunds.values()))

    def check_credentials(self) -> str:
        """Read the merchant's details and say whose they are."""
        answer = self._api.merchant_details()
        is_test = text_of(answer, "isTestMode") == "true"
        return (
            f"Authorize.net accepts the key of account {text_of(answer, 'merchantName')} "
            f"(gateway id {text_of(answer, 'gatewayId')}){', in test mode' if is_test else ''}."
        )

    @classmethod
    def smallest_step(cls, currency: str) -> int:
        """It takes two decimals, whatever the currency."""
        return int(10 ** max(exponent_of(currency) - 2, 0))

    def _payment_source(self, order: RefundOrder) -> Mapping[str, Any]:
        """The masked card or bank account that a refund must name.

        It is read from the payment where the order does not say enough, before anything is sent.
        """
        if order.method_type != "bank" and order.last4:
            return _masked_card(order.last4)
        try:
            answer = self._api.transaction_details(order.payment_id)
        except OutcomeUnknown as error:
            raise NotSent(
                f"The payment could not be read, so no refund was sent. {error}",
                reason="unreachable",
                exchanges=error.exchanges,
            ) from error
        bank = None if answer is None else answer.find("transaction/payment/bankAccount")
        if bank is not None:
            names = ("routingNumber", "accountNumber", "nameOnAccount")
            return {"bankAccount": {name: text_of(bank, name) for name in names}}
        last4 = "" if answer is None else method_of(answer).last4
        if not last4:
            raise NotSent(
                "Authorize.net does not say which card or bank account paid; "
                "it refunds to nothing else. Nothing was sent.",
                reason="refused_locally",
                exchanges=self.transport.take_exchanges(),
            )
        return _masked_card(last4)

    def _judge(self, order: RefundOrder, answer: Element, operation: Operation) -> RefundResult:
        verdict = text_of(answer, "transactionResponse/responseCode")
        code, message = reason_of(answer, most_telling=AUTHORIZENET.open)
        if operation is Operation.VOID and code == _ALREADY_VOIDED:
            return RefundResult(RefundState.SUCCEEDED, order.payment_id)
        if verdict in {_APPROVED, _HELD} and code not in {_ALREADY_VOIDED, _ALREADY_CAPTURED}:
            state = RefundState.SUCCEEDED if verdict == _APPROVED else RefundState.PENDING
            return RefundResult(state, self._accepted_id(order, answer, operation))
        self._api.turn_away(code, message)
        # A declined refund is one, whatever its code; any other code must be a known refusal.
        declined = FailureCode.OTHER if verdict == _DECLINED else None
        failure = AUTHORIZENET.refused.get(code, declined)
        if code in AUTHORIZENET.open or failure is None:
            self._api.give_up(f"Authorize.net's answer proves nothing: {code} {message}", code)
        return RefundResult(RefundState.FAILED, failure=Failure(failure, code, message))

    def _accepted_id(self, order: RefundOrder, answer: Element, operation: Operation) -> str:
        """The id of what was accepted. Gives up where that is not clearly what was asked for."""
        new_id = text_of(answer, "transactionResponse/transId")
        original = text_of(answer, "transactionResponse/refTransID")
        if operation is Operation.VOID:
            is_ours = new_id == order.payment_id and original in {"", order.payment_id}
        else:
            is_ours = new_id not in {"", "0", original} and original == order.payment_id
        if not is_ours:
            self._api.give_up("Authorize.net approved, but names another transaction.")
        return new_id

    def _explain(self, order: RefundOrder, failure: Failure) -> Failure:
        """Say which criterion was not met, by the payment as it stands now."""
        try:
            payment = self.get_payment(order.payment_id)
        except GatewayError:
            return failure  # the refusal is proven; only its reason stays general
        if payment is None:
            return failure
        if payment.disputed:
            return replace(failure, code=FailureCode.DISPUTED)
        if payment.status in {PaymentStatus.AUTHORIZED, PaymentStatus.CAPTURED}:
            return replace(failure, code=FailureCode.NOT_SETTLED)
        if datetime.now(UTC) - (payment.settled_at or payment.created_at) > _AGE_LIMIT:
            return replace(failure, code=FailureCode.TOO_OLD)
        return failure

    def _find_void(self, order: RefundOrder) -> tuple[list[ReportedRefund], bool]:
        payment = self.get_payment(order.payment_id)
        if payment is None or payment.status is not PaymentStatus.VOIDED:
            return [], payment is not None
        void = ReportedRefund(
            external_id=order.payment_id,
            payment_id=order.payment_id,
            amount=order.payment_amount,
            state=RefundState.SUCCEEDED,
            created_at=order.first_sent_at or payment.created_at,
            operation=Operation.VOID,
            reference=order.reference,
            last4=payment.method.last4,
        )
        return [void], True

    def _search(self, order: RefundOrder) -> list[ReportedRefund]:
        """Every refund with the order's reference, whatever its amount and payment."""
        now = datetime.now(UTC)
        # A day more on both sides: clocks differ, and a settlement date may be the merchant's day.
        since = (order.first_sent_at or now - LIST_WINDOW) - _DAY
        ids = {
            transaction_id_of(row)
            for listed in self._api.walk(since, now + _DAY)
            for row in listed.rows
            if _is_candidate(row, order)
        }
        found = [refund for each in sorted(ids) for refund in self._refunds_with_id(each)]
        return [refund for refund in found if refund.reference == order.reference]

    def _refunds_with_id(self, refund_id: str) -> list[ReportedRefund]:
        answer = self._api.transaction_details(refund_id)
        try:
            return [] if answer is None else read_refund(answer, self._currency())
        except ValueError as error:
            self._api.give_up(f"Refund {refund_id} cannot be read: {error}")

    def _payments_of(self, row: Element, settled_at: datetime | None) -> list[Payment]:
        if is_ambiguous(row):
            payment = read_payment(self._details_of(row), self._currency())
            return [] if payment is None else [payment]
        return read_summary(row, self._currency(), settled_at)

    def _refunds_of(self, row: Element) -> list[ReportedRefund]:
        if not is_ambiguous(row) and not has_refund_status(row):
            return []
        return read_refund(self._details_of(row), self._currency())

    def _details_of(self, row: Element) -> Element:
        answer = self._api.transaction_details(transaction_id_of(row))
        if answer is None:
            raise ValueError("It is listed, but Authorize.net has no details of it.")
        return answer

    def _currency(self) -> str:
        """The account's one currency: transactions do not name theirs."""
        if not self._known_currency:
            answer = self._api.merchant_details()
            names = [element.text or "" for element in answer.iterfind("currencies/currency")]
            if len(names) != 1:
                raise Misconfigured(
                    f"Set the currency of account {self.account.slug}: Authorize.net names "
                    f"{' '.join(names) or 'none'} and does not say which one a payment is in."
                )
            self._known_currency = names[0]
        return self._known_currency


def _masked_card(last4: str) -> Mapping[str, Any]:
    return {"creditCard": {"cardNumber": f"XXXX{last4}", "expirationDate": "XXXX"}}


def _is_candidate(row: Element, order: RefundOrder) -> bool:
    invoice = text_of(row, "invoiceNumber")
    if invoice:
        return invoice == order.reference
    return has_refund_status(row) and text_of(row, "accountNumber").endswith(order.last4)
