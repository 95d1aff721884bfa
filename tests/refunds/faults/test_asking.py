"""Faults of asking: clicked twice, asked by many, amounts at their edges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateways.base import Operation, RefundOrder
from gateways.errors import NotSent
from gateways.money import Money
from gateways.paypal_records import to_paypal
from gateways.registry import open_gateway
from gateways.stripe_records import to_stripe
from refunds.models import Refund
from refunds.services import RefundRefused
from refunds.states import Status
from tests.rest import client_with, make_person, make_token

from .play import assert_agreement, in_parallel, sent

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@only_stripe
def test_f01_a_double_click_is_one_refund(desk):
    key = make_token(make_person("agent"))[1]
    for round_number in range(2):
        transaction = desk.pay()

        def click(_number: int, transaction=transaction, name=f"click {round_number}") -> tuple:
            answer = client_with(key).post(
                f"/api/v1/transactions/{transaction.pk}/refunds/",
                {"amount": "60.00", "reason": "other", "note": ""},
                format="json",
                headers={"Idempotency-Key": name},
            )
            return answer.status_code, answer.json()["id"]

        answers = in_parallel(40, click)
        assert sorted({status for status, _id in answers}) == [200, 202]
        assert [status for status, _id in answers].count(202) == 1
        assert len({refund for _status, refund in answers}) == 1
        sent(Refund.objects.get(transaction=transaction))
        assert_agreement(desk, transaction, 6_000)


def test_f02_of_many_people_who_refund_too_much_one_wins(desk):
    transaction = desk.pay()

    def click(_number: int) -> str:
        try:
            desk.ask(type(transaction).objects.get(pk=transaction.pk), 6_000)
        except RefundRefused as refused:
            return f"{refused.code} {refused.refundable}"
        return "won"

    answers = in_parallel(40, click)
    assert sorted(answers) == ["exceeds_refundable 40.00 USD"] * 39 + ["won"]
    sent(Refund.objects.get(transaction=transaction))
    assert_agreement(desk, transaction, 6_000)


def test_f32_two_equal_refunds_on_purpose_are_two(desk):
    transaction = desk.pay()
    references = set()
    for _ in range(2):
        refund = sent(desk.ask(transaction, 500))
        references.add(refund.attempts.get().reference)
    assert len(references) == 2
    assert_agreement(desk, transaction, 500, 500)


@pytest.mark.parametrize("desk", ["nmi"], indirect=True)
def test_f32_an_equal_refund_that_counts_as_a_duplicate_is_not_failed(desk):
    transaction = desk.pay()
    sent(desk.ask(transaction, 500))
    refund = desk.ask(transaction, 500)
    desk.arm("refund", "refusal", code="430")
    assert sent(refund).status == Status.UNKNOWN
    assert_agreement(desk, transaction, 500)


@pytest.mark.parametrize(
    ("desk", "minor", "currency"),
    [
        ("stripe", 1, "USD"),
        ("stripe", 12_340, "KWD"),
        ("stripe", 99_999_999, "USD"),
        ("paypal", 1, "USD"),
        ("paypal", 1_500, "JPY"),
        ("paypal", 99_999_999, "USD"),
        ("authorizenet", 1, "USD"),
        ("authorizenet", 99_999_999, "USD"),
        ("nmi", 1, "USD"),
        ("nmi", 99_999_999, "USD"),
    ],
    indirect=["desk"],
)
def test_f33_every_currency_has_its_own_decimals(desk, minor, currency):
    transaction = desk.pay(minor, currency)
    assert transaction.amount == Money(minor, currency)
    sent(desk.ask(transaction, minor))
    assert_agreement(desk, transaction, minor)


@pytest.mark.parametrize(
    ("minor", "currency", "stripe", "paypal"),
    [
        (1_500, "JPY", 1_500, "1500"),
        (12_340, "KWD", 12_340, None),
        (500, "ISK", 50_000, None),
        (700, "UGX", 70_000, None),
        (90_000, "HUF", 90_000, "900"),
        (12_300, "TWD", 12_300, "123"),
        (99_999_999, "USD", 99_999_999, "999999.99"),
        (1, "USD", 1, "0.01"),
    ],
)
def test_f33_some_processors_count_some_currencies_otherwise(minor, currency, stripe, paypal):
    amount = Money(minor, currency)
    assert to_stripe(amount) == stripe
    if paypal is not None:
        assert to_paypal(amount)["value"] == paypal


def test_f34_three_thirds_and_the_last_cent_end_at_exactly_nothing(desk):
    transaction = desk.pay()
    for _ in range(3):
        sent(desk.ask(transaction, 3_333))
    transaction.refresh_from_db()
    sent(desk.ask(transaction, transaction.refundable_minor))
    transaction.refresh_from_db()
    assert transaction.refundable_minor == 0
    assert_agreement(desk, transaction, 3_333, 3_333, 3_333, 1)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("minor", [0, -1])
def test_f35_no_amount_never_means_all_of_it(desk, operation, minor):
    transaction = desk.pay()
    order = RefundOrder(
        reference="ABCDEFGHIJKLMNOPQRST",
        payment_id=transaction.external_id,
        amount=Money(1, "USD"),
        payment_amount=transaction.amount,
        operation=operation,
        last4="4242",
        related_ids=tuple(transaction.related_ids.split()),
    )
    gateway = open_gateway(desk.account)
    move_money = gateway.void if operation is Operation.VOID else gateway.refund
    with pytest.raises(NotSent) as caught:
        move_money(replace(order, amount=Money(minor, "USD")))
    assert caught.value.reason == "refused_locally"
    assert desk.calls("refund") + desk.calls("void") == 0
