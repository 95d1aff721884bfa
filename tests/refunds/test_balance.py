"""The sums of a payment and the case about too much, while refunds here and elsewhere meet."""

from __future__ import annotations

import pytest

from gateways.base import RefundState
from gateways.money import Money
from refunds.execution import send_refund
from refunds.models import Attention, AttentionKind, Refund
from refunds.resolution import mark_returned
from refunds.services import RefundRefused, cancel_refund
from refunds.states import Status
from refunds.sync import sync_account
from refunds.transitions import lock_refund, move
from tests.transactions.scripted import payment
from transactions.models import Transaction
from transactions.upsert import store_payments

from .desk import Desk
from .reports import now_reported, record, sums

pytestmark = pytest.mark.django_db

# NMI does not name the payment of a refund by hand: what fits no payment waits for a person.
names_payments = pytest.mark.parametrize(
    "desk", ["stripe", "paypal", "authorizenet"], indirect=True
)
OVER = AttentionKind.OVER_REFUNDED
TOGETHER = (
    "Together with a refund that is under way here more would go back than was paid: "
    "105.00 USD of 90.00 USD."
)


def refund_by_hand(desk: Desk, transaction: Transaction, minor: int) -> None:
    """A refund on the processor's dashboard, and a sync that reads it."""
    desk.post("refunds", payment_id=transaction.external_id, amount_minor=minor)
    sync_account(desk.account)


def case_of(transaction: Transaction) -> Attention:
    return Attention.objects.get(transaction=transaction, kind=OVER)


def said_of(transaction: Transaction) -> str:
    case = case_of(transaction)
    assert case.closed_at is None
    assert case.refund
    return case.reason


@pytest.fixture
def crowded(desk: Desk) -> tuple[Transaction, Refund]:
    """A payment of 90.00 with a refund of it all that is queued, and one of 15.00 by hand."""
    transaction = desk.pay(9_000)
    queued = desk.ask(transaction, 9_000)
    refund_by_hand(desk, transaction, 1_500)
    return transaction, queued


@names_payments
def test_while_both_do_not_fit_the_case_says_no_more_than_that(crowded, desk):
    transaction, queued = crowded
    assert sums(transaction) == (9_000, 1_500, True)
    assert said_of(transaction) == TOGETHER
    transaction.refresh_from_db()
    with pytest.raises(RefundRefused):
        desk.ask(transaction, 100)
    assert queued.status == Status.QUEUED


@names_payments
def test_flag_and_case_go_when_the_processor_refuses_ours_and_the_rest_can_go_back(crowded, desk):
    transaction, queued = crowded
    send_refund(queued.pk)
    queued.refresh_from_db()
    assert queued.status == Status.FAILED
    assert sums(transaction) == (0, 1_500, False)
    case = case_of(transaction)
    assert (case.closed_by, case.outcome) == (
        None,
        "What goes back is not more than was paid any more.",
    )
    assert case.refund.attention_reason.startswith("15.00 USD were refunded outside")
    transaction.refresh_from_db()
    send_refund(desk.ask(transaction, 7_500).pk)
    assert sums(transaction) == (0, 9_000, False)
    assert desk.given_back(transaction) == [1_500, 7_500]


@names_payments
def test_they_go_when_ours_is_called_off(crowded):
    transaction, queued = crowded
    cancel_refund(queued, actor=queued.requested_by)
    assert sums(transaction) == (0, 1_500, False)
    assert case_of(transaction).closed_at


# --- what reports and answers make of it, without a processor ------------------------------------


def over(transaction: Transaction) -> list[tuple[str, bool]]:
    """Reason and whether open, of each case about too much, oldest first."""
    cases = Attention.objects.filter(transaction=transaction, kind=OVER).order_by("pk")
    return [(each.reason, each.closed_at is None) for each in cases]


def usd(minor: int) -> Money:
    return Money(minor, "USD")


REAL = "More went back than was paid: 11.00 USD of 10.00 USD."


def test_it_stays_in_other_words_when_more_really_went_back(paid):
    record(paid.account, now_reported("re_1", amount=usd(900)))
    record(paid.account, now_reported("re_2", amount=usd(200), state=RefundState.PENDING))
    [(reason, is_open)] = over(paid)
    assert (reason.split(" that")[0], is_open) == ("Together with a refund", True)
    record(paid.account, now_reported("re_2", amount=usd(200)))
    assert over(paid) == [(REAL, True)]
    refund = Refund.objects.get(processor_refund_id="re_2")
    told = refund.events.filter(kind="needs_attention", data__kind=OVER)
    assert [event.data["reason"] for event in told] == [reason, REAL]


def test_one_that_comes_back_takes_the_case_of_another_with_it(paid):
    record(
        paid.account, now_reported("re_1", amount=usd(900)), now_reported("re_2", amount=usd(200))
    )
    assert over(paid) == [(REAL, True)]
    mark_returned(lock_refund(Refund.objects.get(processor_refund_id="re_1").pk))
    assert sums(paid) == (0, 200, False)
    assert over(paid) == [(REAL, False)]


def test_one_that_comes_back_closes_its_own_case(paid):
    record(
        paid.account, now_reported("re_1", amount=usd(900)), now_reported("re_2", amount=usd(200))
    )
    record(paid.account, now_reported("re_2", amount=usd(200), state=RefundState.FAILED))
    assert sums(paid) == (0, 900, False)
    assert over(paid) == [(REAL, False)]


def test_what_counted_as_failed_and_was_made_tells_too(paid, ask):
    report = now_reported("re_1", amount=usd(600), state=RefundState.FAILED)
    record(paid.account, report)
    paid.refresh_from_db()
    queued = ask(paid, 600)
    record(paid.account, now_reported("re_1", amount=usd(600)))
    assert sums(paid) == (600, 600, True)
    assert [is_open for _reason, is_open in over(paid)] == [True]
    move(lock_refund(queued.pk), Status.CANCELED, "canceled")
    assert sums(paid) == (0, 600, False)
    assert [is_open for _reason, is_open in over(paid)] == [False]


def test_what_a_person_has_closed_is_news_again_only_when_it_gets_worse(paid, approver):
    record(
        paid.account, now_reported("re_1", amount=usd(900)), now_reported("re_2", amount=usd(200))
    )
    Attention.objects.filter(kind=OVER).update(closed_by=approver, closed_at="2026-07-01T00:00Z")
    record(paid.account, now_reported("re_3", amount=usd(50)))
    assert [is_open for _reason, is_open in over(paid)] == [False, True]
    Attention.objects.filter(kind=OVER, closed_at=None).update(closed_at="2026-07-02T00:00Z")
    record(paid.account, now_reported("re_3", amount=usd(50), state=RefundState.FAILED))
    assert [is_open for _reason, is_open in over(paid)] == [False, False]
    assert sums(paid) == (0, 1_100, True)


def test_an_amount_that_grows_again_takes_the_flag_back(paid):
    record(paid.account, now_reported("re_1", amount=usd(900)))
    for minor, expected in ((800, True), (1_000, False)):
        store_payments(paid.account, [payment("ch_1", minor)])
        assert sums(paid) == (0, 900, expected)
