"""What every gateway promises, tried against its processor's dialect of the sandbox."""

import base64
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar
from urllib.parse import quote_plus

import pytest

from gateways.base import (
    Account,
    FailureCode,
    Operation,
    PaymentGateway,
    PaymentStatus,
    RefundOrder,
    RefundState,
)
from gateways.errors import GatewayError, NotSent, OutcomeUnknown
from gateways.money import Money
from gateways.sandbox.ledger import LedgerPayment, LedgerRefund
from gateways.sandbox.server import SandboxServer
from gateways.transport import Transport

HASTY = 1.0  # seconds, for calls that are meant to run out of time
BREAKS = [
    (what, when)
    for what in (
        "reset", "silence", "500", "502_html", "drip", "truncated", "malformed", "redirect",
        "empty", "huge",
    )
    for when in ("before", "after")
] + [("wrong_echo", "after")]  # fmt: skip
TURNED_AWAY = ("401", "403", "429")


class GatewayContract:
    """Inherit it under a name that begins with ``Test``, and say who you are::

        class TestContract(GatewayContract):
            gateway_class = NmiGateway
            account = "nmi-main"  # an account of the sandbox
            unknown_payment_id = "999999999"
            wrong_credentials = {"security_key": "wrong"}

    The other attributes have defaults that suit most. ``turned_away`` says what an answer 401, 403
    or 429 to a refund means: the reason of NotSent, or ``""`` where it proves nothing. A promise
    that a processor cannot keep is taken out by its name: ``test_… = None``, with the reason.
    """

    gateway_class: ClassVar[type[PaymentGateway]]
    account: ClassVar[str]
    unknown_payment_id: ClassVar[str]
    wrong_credentials: ClassVar[Mapping[str, str]]  # in place of the right ones

    owner: ClassVar[str] = ""  # how check_credentials calls it, where not as the sandbox does
    currency: ClassVar[str] = "USD"
    exact_amounts: ClassVar[tuple[tuple[str, Money], ...]] = ()  # (account, amount)
    many: ClassVar[int] = 130  # payments that fill more than one page
    statuses: ClassVar[Mapping[str, PaymentStatus]] = {
        status.value: status for status in PaymentStatus
    }
    voidable_status: ClassVar[str] = "captured"  # empty where there are no voids
    unreadable: ClassVar[Mapping[str, Any]] = {}  # ledger values that make a listed payment odd
    turned_away: ClassVar[Mapping[str, str]] = {
        "401": "credentials",
        "403": "credentials",
        "429": "rate_limited",
    }
    tries_after_401: ClassVar[int] = 1  # calls that one refund makes while the answer is 401
    too_much: ClassVar[frozenset[FailureCode]] = frozenset(
        {FailureCode.EXCEEDS_REFUNDABLE, FailureCode.ALREADY_REFUNDED}
    )

    @pytest.fixture
    def desk(self, sandbox):
        desk = Desk(sandbox, self.gateway_class, self.account, self.currency)
        yield desk
        desk.close()

    @pytest.fixture
    def gateway(self, desk):
        return desk.open()

    # Reading

    def test_lists_every_payment_once_and_resumes_after_any_page(self, desk, gateway):
        now = datetime.now(UTC)
        made = {
            desk.pay(100 + number, created_at=now - timedelta(days=70) * number / self.many).id
            for number in range(self.many)
        }
        window = (now - timedelta(days=71), now + timedelta(minutes=1))
        pages = list(gateway.list_payments(*window))
        listed = [payment.external_id for page in pages for payment in page.records]
        assert len(pages) > 1
        assert sorted(listed) == sorted(made)
        assert [page.rejected for page in pages] == [()] * len(pages)
        assert [bool(page.cursor) for page in pages] == [True] * (len(pages) - 1) + [False]
        for page, following in pairwise(pages):
            resumed = next(desk.open().list_payments(*window, page.cursor))
            assert (resumed.records, resumed.cursor) == (following.records, following.cursor)

    def test_reports_a_record_that_it_cannot_read_and_goes_on(self, desk, gateway):
        if not self.unreadable:
            return  # the sandbox cannot say such a thing; the adapter's own tests do
        made = [desk.pay(5000) for _ in range(3)]
        desk.change(made[1], **self.unreadable)
        now = datetime.now(UTC)
        pages = list(gateway.list_payments(now - timedelta(days=1), now + timedelta(minutes=1)))
        listed = {payment.external_id for page in pages for payment in page.records}
        (rejected,) = [rejected for page in pages for rejected in page.rejected]
        assert listed == {made[0].id, made[2].id}
        assert rejected.external_id == made[1].id
        assert len(rejected.reason.split()) > 3

    def test_lists_nothing_where_there_is_nothing(self, gateway):
        now = datetime.now(UTC)
        window = (now - timedelta(days=2), now)
        assert [page.records for page in gateway.list_payments(*window) if page.records] == []
        assert [page.records for page in gateway.list_refunds(*window) if page.records] == []

    def test_reads_a_payment_with_its_details(self, desk, gateway):
        made = desk.pay(
            12345,
            payer_name="Zoë Ünal",
            payer_email="zoe@example.com",
            order_reference="ORD-7",
            brand="visa",
            last4="4242",
        )
        payment = gateway.get_payment(made.id)
        assert payment is not None
        assert payment.external_id == made.id
        assert payment.amount == Money(12345, self.currency)
        assert abs(payment.created_at - made.created_at) < timedelta(seconds=1)
        assert payment.created_at.utcoffset() == timedelta()
        assert payment.payer.name == "Zoë Ünal"
        assert (payment.method.type, payment.method.last4) == ("card", "4242")
        assert payment.order_reference == "ORD-7"
        assert payment.has_details

    def test_reads_every_status(self, desk, gateway):
        for status, ours in self.statuses.items():
            payment = gateway.get_payment(desk.pay(5000, status=status).id)
            assert payment is not None
            assert payment.status is ours, status

    def test_lists_say_the_same_as_details(self, desk, gateway):
        for status in self.statuses:
            desk.pay(5000, status=status, payer_name="Ann Bee", order_reference="ORD-8")
        now = datetime.now(UTC)
        pages = gateway.list_payments(now - timedelta(days=1), now + timedelta(minutes=1))
        for listed in [payment for page in pages for payment in page.records]:
            payment = gateway.get_payment(listed.external_id)
            assert payment is not None
            for name in ("amount", "status", "created_at", "order_reference", "related_ids"):
                assert getattr(listed, name) == getattr(payment, name), name
            assert listed.payer.name == payment.payer.name

    def test_reads_disputes(self, desk, gateway):
        disputed, calm = desk.pay(5000, dispute="open"), desk.pay(5000)
        payments = [gateway.get_payment(made.id) for made in (disputed, calm)]
        assert [payment and payment.disputed for payment in payments] == [True, False]

    def test_does_not_know_what_does_not_exist(self, gateway):
        assert gateway.get_payment(self.unknown_payment_id) is None

    # Giving back

    def test_refunds_the_whole(self, desk, gateway):
        made = desk.pay(10000)
        order = desk.order(made, 10000)
        result = gateway.refund(order)
        assert result.state in {RefundState.SUCCEEDED, RefundState.PENDING}
        assert result.failure is None
        assert result.amount in {None, order.amount}
        (refund,) = desk.refunds_of(made)
        assert (refund.amount_minor, refund.operation) == (10000, "refund")
        assert result.refund_id == refund.id
        assert result.exchanges
        assert made.id in "".join(exchange.request for exchange in result.exchanges)

    def test_refunds_parts_until_exactly_nothing_is_left(self, desk, gateway):
        made = desk.pay(10001)
        for minor in (3333, 3334, 3334 - 1, 1):
            assert gateway.refund(desk.order(made, minor)).failure is None
        assert desk.left_of(made) == 0
        assert len(desk.refunds_of(made)) == 4

    def test_refunds_the_same_amount_twice_where_that_is_wanted(self, desk, gateway):
        made = desk.pay(10000)
        refunds = {gateway.refund(desk.order(made, 500)).refund_id for _ in range(2)}
        assert refunds == {refund.id for refund in desk.refunds_of(made)}
        assert len(refunds) == 2

    def test_is_told_that_it_was_too_much(self, desk, gateway):
        made = desk.pay(10000)
        assert gateway.refund(desk.order(made, 6000)).failure is None
        result = gateway.refund(desk.order(made, 4001))
        assert result.state is RefundState.FAILED
        assert result.failure is not None
        assert result.failure.code in self.too_much
        assert result.failure.message
        assert desk.left_of(made) == 4000

    def test_gives_back_the_exact_amount_in_any_currency(self, desk):
        for account, amount in self.exact_amounts:
            made = desk.pay(amount.minor * 3, account=account, currency=amount.currency)
            gateway = desk.open(account=account)
            payment = gateway.get_payment(made.id)
            assert payment is not None
            assert payment.amount == Money(amount.minor * 3, amount.currency)
            result = gateway.refund(desk.order(made, amount.minor))
            assert result.failure is None
            assert result.amount in {None, amount}
            assert [refund.amount_minor for refund in desk.refunds_of(made)] == [amount.minor]

    def test_sends_no_amount_that_could_mean_another(self, desk, gateway):
        made = desk.pay(10000)
        order = desk.order(made, 10000)
        other = Money(100, "EUR" if self.currency != "EUR" else "GBP")
        before = desk.requests()
        for amount in (Money(0, self.currency), Money(-1, self.currency), other):
            with pytest.raises(NotSent) as caught:
                gateway.refund(replace(order, amount=amount))
            assert caught.value.reason == "refused_locally"
        assert desk.requests() == before

    def test_voids_the_whole_where_it_can(self, desk, gateway):
        made = desk.pay(10000, status=self.voidable_status or "settled")
        order = desk.order(made, 10000, operation=Operation.VOID)
        if not self.voidable_status:
            with pytest.raises(NotSent) as caught:
                gateway.void(order)
            assert caught.value.reason == "refused_locally"
            return
        with pytest.raises(NotSent):
            gateway.void(replace(order, amount=Money(5000, self.currency)))
        result = gateway.void(order)
        assert (result.state, result.failure) == (RefundState.SUCCEEDED, None)
        assert result.refund_id
        assert [refund.operation for refund in desk.refunds_of(made)] == ["void"]
        payment = gateway.get_payment(made.id)
        assert payment is not None
        assert payment.status is PaymentStatus.VOIDED
        lookup = gateway.find_refund(replace(order, first_sent_at=datetime.now(UTC)))
        assert [match.operation for match in lookup.matches] == [Operation.VOID]

    def test_cannot_void_what_has_settled(self, desk, gateway):
        made = desk.pay(10000)
        result = gateway.void(desk.order(made, 10000, operation=Operation.VOID))
        assert result.state is RefundState.FAILED
        assert result.failure is not None
        assert desk.refunds_of(made) == []

    # Finding refunds

    def test_finds_its_refund_among_others(self, desk, gateway):
        made = desk.pay(10000)
        order = desk.order(made, 2500)
        result = gateway.refund(order)
        gateway.refund(desk.order(made, 2600))
        desk.refund_by_hand(made, 1000)
        sent = replace(order, first_sent_at=datetime.now(UTC) - timedelta(seconds=1))
        for asked in (sent, replace(sent, refund_id=result.refund_id)):
            lookup = gateway.find_refund(asked)
            assert lookup.complete
            assert lookup.exchanges
            (match,) = lookup.matches
            assert (match.external_id, match.amount) == (result.refund_id, order.amount)
            assert match.state is result.state

    def test_finds_nothing_where_there_is_nothing_of_ours(self, desk, gateway):
        made = desk.pay(10000)
        desk.refund_by_hand(made, 2500)
        order = desk.order(made, 2500, first_sent_at=datetime.now(UTC))
        lookup = gateway.find_refund(order)
        assert (lookup.matches, lookup.complete) == ((), True)

    def test_lists_refunds_of_ours_and_of_others(self, desk, gateway):
        made = desk.pay(10000)
        order = desk.order(made, 2500)
        gateway.refund(order)
        desk.refund_by_hand(made, 1000)
        now = datetime.now(UTC)
        pages = gateway.list_refunds(now - timedelta(days=1), now + timedelta(minutes=1))
        refunds = [refund for page in pages for refund in page.records]
        assert sorted(refund.amount.minor for refund in refunds) == [1000, 2500]
        assert {refund.external_id for refund in refunds} == {
            refund.id for refund in desk.refunds_of(made)
        }
        assert {refund.payment_id for refund in refunds} <= {"", made.id}
        ours = [refund for refund in refunds if refund.reference == order.reference]
        assert [refund.amount for refund in ours] == [order.amount]

    # When things break

    @pytest.mark.parametrize(("what", "when"), BREAKS)
    def test_an_answer_that_proves_nothing_leaves_the_outcome_unknown(self, desk, what, when):
        made = desk.pay(10000)
        order = desk.order(made, 2500)
        gateway = desk.open(seconds=HASTY if what in {"silence", "drip"} else 25)
        gateway.get_payment(made.id)
        desk.arm("refund", what, when)
        with pytest.raises(OutcomeUnknown) as caught:
            gateway.refund(order)
        assert str(caught.value)
        assert caught.value.exchanges
        done = 1 if when == "after" else 0
        assert len(desk.refunds_of(made)) == done
        sent = replace(order, first_sent_at=datetime.now(UTC) - timedelta(seconds=1))
        lookup = desk.open().find_refund(sent)
        assert lookup.complete
        assert [match.amount for match in lookup.matches] == [order.amount] * done
        self.send_again(desk, made, sent)

    def send_again(self, desk: "Desk", made: LedgerPayment, sent: RefundOrder) -> None:
        """What may follow an unknown outcome: nothing, where there are no keys."""

    @pytest.mark.parametrize("what", TURNED_AWAY)
    def test_being_turned_away_at_the_door_is_told_apart(self, desk, gateway, what):
        made = desk.pay(10000)
        order = desk.order(made, 2500)
        gateway.get_payment(made.id)
        times = self.tries_after_401 if what == "401" else 1
        desk.arm("refund", what, "before", times=times)
        reason = self.turned_away[what]
        with pytest.raises(NotSent if reason else OutcomeUnknown) as caught:
            gateway.refund(order)
        assert getattr(caught.value, "reason", "") == reason
        assert caught.value.exchanges
        assert desk.refunds_of(made) == []

    def test_wrong_credentials_are_named_as_such(self, desk):
        made = desk.pay(10000)
        gateway = desk.open(credentials=self.wrong_credentials)
        calls = (
            gateway.check_credentials,
            lambda: gateway.get_payment(made.id),
            lambda: gateway.refund(desk.order(made, 2500)),
        )
        for call in calls:
            with pytest.raises(NotSent) as caught:
                call()
            assert caught.value.reason == "credentials"
        assert desk.refunds_of(made) == []

    def test_good_credentials_are_told_whose_they_are(self, gateway):
        assert (self.owner or self.account) in gateway.check_credentials()

    def test_a_processor_that_is_not_there_is_unreachable(self, desk):
        made = desk.pay(10000)
        order = desk.order(made, 2500)
        gateway = desk.open(url=desk.closed_url())
        now = datetime.now(UTC)
        calls = (
            gateway.check_credentials,
            lambda: gateway.get_payment(made.id),
            lambda: list(gateway.list_payments(now - timedelta(days=1), now)),
            lambda: list(gateway.list_refunds(now - timedelta(days=1), now)),
            lambda: gateway.refund(order),
            lambda: gateway.find_refund(replace(order, first_sent_at=now)),
        )
        for call in calls:
            with pytest.raises(NotSent) as caught:
                call()
            assert caught.value.reason == "unreachable"

    @pytest.mark.parametrize("what", ["500", "502_html", "empty", "malformed", "truncated"])
    def test_a_list_that_breaks_off_is_an_error_not_an_end(self, desk, gateway, what):
        desk.pay(10000)
        desk.arm("list_payments", what, "before")
        now = datetime.now(UTC)
        with pytest.raises(GatewayError):
            list(gateway.list_payments(now - timedelta(days=1), now + timedelta(minutes=1)))

    # Promises about every call

    def test_no_call_is_made_where_the_guard_forbids_it(self, desk):
        def refuse() -> None:
            raise RuntimeError("inside a transaction")

        made = desk.pay(10000)
        order = desk.order(made, 2500)
        gateway = desk.open(guard=refuse)
        before = desk.requests()
        now = datetime.now(UTC)
        calls = (
            gateway.check_credentials,
            lambda: gateway.get_payment(made.id),
            lambda: list(gateway.list_payments(now - timedelta(days=1), now)),
            lambda: list(gateway.list_refunds(now - timedelta(days=1), now)),
            lambda: gateway.refund(order),
            lambda: gateway.find_refund(replace(order, first_sent_at=now)),
        )
        for call in calls:
            with pytest.raises(RuntimeError, match="inside a transaction"):
                call()
        assert desk.requests() == before

    def test_no_evidence_shows_a_secret(self, desk, gateway):
        made = desk.pay(10000)
        order = desk.order(made, 2500)
        shown: list[Any] = []
        gateway.check_credentials()
        shown += gateway.transport.take_exchanges()
        gateway.get_payment(made.id)
        shown += gateway.transport.take_exchanges()
        shown += gateway.refund(order).exchanges
        shown += gateway.find_refund(replace(order, first_sent_at=datetime.now(UTC))).exchanges
        for what in ("401", "500", "malformed", "reset"):
            desk.arm("refund", what, "before", times=self.tries_after_401 if what == "401" else 1)
            with pytest.raises(GatewayError) as caught:
                gateway.refund(desk.order(made, 100))
            shown += [str(caught.value), *caught.value.exchanges]
        text = repr(shown)
        for secret in gateway.account.credentials.values():
            for form in (secret, quote_plus(secret), base64.b64encode(secret.encode()).decode()):
                assert form not in text
        assert not re.search(r'Bearer (?!\[secret\])|access_token":"(?!\[secret\])', text)


class KeyedGatewayContract(GatewayContract):
    """The same, and what a processor with idempotency keys makes possible: sending again."""

    def send_again(self, desk, made, sent):
        """Send the order under the same key: whatever comes of it, there is one refund."""
        try:
            result = desk.open().refund(sent)
        except OutcomeUnknown:
            assert len(desk.refunds_of(made)) <= 1
        else:
            assert result.failure is None
            assert [refund.id for refund in desk.refunds_of(made)] == [result.refund_id]

    @pytest.mark.parametrize("what", TURNED_AWAY)
    def test_being_turned_away_proves_nothing_about_an_earlier_try(self, desk, gateway, what):
        made = desk.pay(10000)
        sent = desk.order(made, 2500, first_sent_at=datetime.now(UTC))
        times = self.tries_after_401 if what == "401" else 1
        gateway.get_payment(made.id)
        desk.arm("refund", what, "before", times=times)
        with pytest.raises(OutcomeUnknown):
            gateway.refund(sent)

    def test_an_order_sent_twice_is_one_refund(self, desk, gateway):
        made = desk.pay(10000)
        order = desk.order(made, 2500)
        first = gateway.refund(order)
        again = desk.open().refund(replace(order, first_sent_at=datetime.now(UTC)))
        assert (again.refund_id, again.state) == (first.refund_id, first.state)
        assert len(desk.refunds_of(made)) == 1

    def test_the_same_order_is_the_same_bytes(self, desk, gateway):
        made = desk.pay(10000)
        order = desk.order(made, 2500, reason="duplicate")
        bodies = [
            desk.open().refund(asked).exchanges[-1].request
            for asked in (order, replace(order, first_sent_at=datetime.now(UTC)))
        ]
        assert bodies[0] == bodies[1]

    def test_a_refusal_of_a_second_try_proves_nothing_about_the_first(self, desk, gateway):
        made = desk.pay(10000)
        desk.refund_by_hand(made, 10000)
        with pytest.raises(OutcomeUnknown):
            gateway.refund(desk.order(made, 2500, first_sent_at=datetime.now(UTC)))


class Desk:
    """A sandbox with one account open: makes payments, opens gateways, reads the ledger."""

    def __init__(
        self,
        sandbox: SandboxServer,
        gateway_class: type[PaymentGateway],
        account: str,
        currency: str,
    ) -> None:
        self.sandbox = sandbox
        self.ledger = sandbox.ledger
        self.gateway_class = gateway_class
        self.account = account
        self.currency = currency
        self._opened: list[Transport] = []
        self._orders = 0

    def open(
        self,
        *,
        account: str = "",
        credentials: Mapping[str, str] | None = None,
        seconds: float = 25,
        url: str = "",
        guard: Any = None,
    ) -> PaymentGateway:
        """A gateway of the account, as a worker would open one."""
        owner = self.ledger.accounts[account or self.account]
        names = self.gateway_class.credential_names
        known = {name: owner.credentials[name] for name in names} | dict(credentials or {})
        transport = Transport(secrets=tuple(known.values()), total_seconds=seconds, guard=guard)
        self._opened.append(transport)
        base_url = url or f"{self.sandbox.url}/{self.gateway_class.processor}"
        return self.gateway_class(Account(owner.name, "test", base_url, known), transport)

    def pay(
        self, minor: int, *, account: str = "", currency: str = "", **fields: Any
    ) -> LedgerPayment:
        """A settled card payment, unless the fields say otherwise."""
        if "created_at" in fields:
            fields["created_at"] = fields["created_at"].isoformat()
        wish = {
            "account": account or self.account,
            "amount_minor": minor,
            "currency": currency or self.currency,
            "status": "settled",
            **fields,
        }
        return self.ledger.payments[self._control("payments", wish)["payment"]["id"]]

    def change(self, payment: LedgerPayment, **values: Any) -> None:
        """Make the ledger hold what no processor should say."""
        self.ledger.change(payment, **values)

    def refund_by_hand(self, payment: LedgerPayment, minor: int) -> None:
        """A refund made on the processor's own site."""
        self._control("refunds", {"payment_id": payment.id, "amount_minor": minor})

    def order(self, payment: LedgerPayment, minor: int, **changes: Any) -> RefundOrder:
        """An order of an identity of its own, built from what the gateway knows of the payment."""
        self._orders += 1
        known = self.open(account=payment.account).get_payment(payment.id)
        assert known is not None
        order = RefundOrder(
            reference=f"REF{self._orders:07d}",
            payment_id=payment.id,
            amount=Money(minor, payment.currency),
            payment_amount=Money(payment.amount_minor, payment.currency),
            method_type=known.method.type,
            last4=known.method.last4,
            related_ids=known.related_ids,
        )
        return replace(order, **changes)

    def arm(self, call: str, what: str, when: str, **more: Any) -> None:
        """Break the next such call."""
        fault = {"dialect": self.gateway_class.processor, "call": call, "what": what, "when": when}
        size = {"megabytes": 2} if what == "huge" else {}
        self._control("faults", {**fault, **size, **more})

    def refunds_of(self, payment: LedgerPayment) -> list[LedgerRefund]:
        with self.ledger.lock:
            return list(self.ledger.refunds_of(payment))

    def left_of(self, payment: LedgerPayment) -> int:
        with self.ledger.lock:
            return self.ledger.refundable_minor(payment)

    def requests(self) -> int:
        """How many requests the processor has seen."""
        return len(self.ledger.requests)

    def closed_url(self) -> str:
        """An address at which nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return f"http://127.0.0.1:{listener.getsockname()[1]}/{self.gateway_class.processor}"

    def close(self) -> None:
        for transport in self._opened:
            transport.close()

    def _control(self, name: str, wish: dict[str, Any]) -> Any:
        transport = Transport()
        body = json.dumps(wish).encode()
        response = transport.send("POST", f"{self.sandbox.url}/_sandbox/{name}", body=body)
        assert response.status == 201, response.body
        return json.loads(response.body)
