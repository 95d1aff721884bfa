"""The cap, voids, settlement, awaited changes, and who is told."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from gateways.sandbox.accounts import built_in_accounts
from gateways.sandbox.ledger import (
    Clock,
    ExceedsRefundableError,
    Ledger,
    LedgerPayment,
    LedgerRefund,
    NotVoidableError,
    next_cutoff,
)


@pytest.fixture
def ledger():
    ledger = Ledger()
    for account in built_in_accounts():
        ledger.add_account(account)
    return ledger


def payment(ledger, account="stripe-main", *, age=timedelta(days=1), **values):
    number = ledger.next_serial()
    made = {
        "id": f"P{number}",
        "dialect": ledger.accounts[account].dialect,
        "account": account,
        "amount_minor": 10_000,
        "currency": "USD",
        "status": "settled",
        "created_at": ledger.clock.now() - age,
        "serial": number,
        **values,
    }
    return ledger.add_payment(LedgerPayment(**made))


def refund(ledger, of, amount_minor=1_000, **values):
    number = ledger.next_serial()
    made = {
        "id": f"R{number}",
        "payment_id": of.id,
        "dialect": of.dialect,
        "account": of.account,
        "amount_minor": amount_minor,
        "currency": of.currency,
        "status": "succeeded",
        "created_at": ledger.clock.now(),
        "serial": number,
        **values,
    }
    return LedgerRefund(**made)


def test_no_more_than_is_left(ledger):
    paid = payment(ledger)
    ledger.add_refund(refund(ledger, paid, 9_999))
    with pytest.raises(ExceedsRefundableError) as refused:
        ledger.add_refund(refund(ledger, paid, 2))
    assert refused.value.refundable_minor == 1
    ledger.add_refund(refund(ledger, paid, 1, status="pending"))
    assert ledger.refundable_minor(paid) == 0


def test_a_failed_refund_gives_its_amount_free(ledger):
    paid = payment(ledger)
    first = ledger.add_refund(refund(ledger, paid, 10_000))
    ledger.change(first, status="failed")
    assert ledger.refundable_minor(paid) == 10_000
    ledger.add_refund(refund(ledger, paid, 20_000, status="failed"))
    ledger.add_refund(refund(ledger, paid, 10_000, status="requires_action"))
    assert ledger.refundable_minor(paid) == 0


@pytest.mark.parametrize("status", ["authorized", "voided", "failed"])
def test_money_that_was_not_taken_is_not_refunded(ledger, status):
    paid = payment(ledger, status=status)
    assert ledger.refundable_minor(paid) == 0
    with pytest.raises(ExceedsRefundableError):
        ledger.add_refund(refund(ledger, paid, 1))


def test_the_cap_holds_for_many_threads(ledger):
    paid = payment(ledger)

    def give_back(_number):
        try:
            ledger.add_refund(refund(ledger, paid, 700))
        except ExceedsRefundableError:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(give_back, range(200))) == 14
    assert ledger.refunded_minor(paid) == 9_800


def test_an_account_may_go_without_the_cap(ledger):
    paid = payment(ledger)
    ledger.add_refund(refund(ledger, paid, 20_000), enforce_cap=False)
    unlinked = refund(ledger, paid, 5, payment_id="")
    assert ledger.add_refund(unlinked, enforce_cap=False) is unlinked


def test_a_void_is_whole_and_once(ledger):
    paid = payment(ledger, status="captured")
    void = ledger.void(paid, refund(ledger, paid, 10_000, operation="void"))
    assert (paid.status, ledger.refunds_of(paid)) == ("voided", [void])
    with pytest.raises(NotVoidableError):
        ledger.void(paid, refund(ledger, paid, 10_000, operation="void"))
    settled = payment(ledger)
    with pytest.raises(NotVoidableError):
        ledger.void(settled, refund(ledger, settled, 10_000, operation="void"))


def test_a_void_is_no_movement_of_its_own(ledger):
    account = ledger.accounts["nmi-main"]
    everything = ledger.timeline(account, "all", "created")
    paid = payment(ledger, "nmi-main", status="captured")
    ledger.void(paid, refund(ledger, paid, 10_000, operation="void"))
    assert everything.at(everything.span()) == [paid]
    assert len(ledger.timeline(account, "refunds", "created")) == 1


def test_a_timeline_follows_a_change(ledger):
    account = ledger.accounts["nmi-main"]
    first, second = payment(ledger, "nmi-main"), payment(ledger, "nmi-main")
    line = ledger.timeline(account, "payments", "modified")
    ledger.change(first, description="new")
    assert line.at(line.span()) == [second, first]
    ledger.add_refund(refund(ledger, second))
    assert line.at(line.span()) == [first, second]


def test_settlement_is_nightly_and_takes_what_the_cutoff_covers(ledger):
    account = ledger.accounts["authorizenet-us"]
    cutoff = next_cutoff(account, ledger.clock.now())
    paid = payment(ledger, account.name, status="captured", age=timedelta())
    held = payment(ledger, account.name, status="authorized", age=timedelta())
    failed = payment(ledger, account.name, status="failed", age=timedelta())
    ledger.advance()
    assert paid.settled_at is None
    ledger.clock.advance(cutoff - ledger.clock.now() + timedelta(seconds=1))
    ledger.advance()
    assert (paid.status, paid.settled_at) == ("settled", cutoff)
    assert (held.status, held.settled_at) == ("authorized", None)
    assert (failed.status, failed.settled_at) == ("failed", cutoff)
    back = ledger.add_refund(refund(ledger, paid, status="pending"))
    ledger.clock.advance(timedelta(days=3))
    ledger.advance()
    assert (back.status, back.settled_at) == ("succeeded", cutoff + timedelta(days=1))


def test_the_next_cutoff(ledger):
    account = ledger.accounts["nmi-main"]
    seven = datetime(2026, 3, 1, 7, tzinfo=UTC)
    assert next_cutoff(account, seven - timedelta(seconds=1)) == seven
    assert next_cutoff(account, seven) == seven + timedelta(days=1)


def test_what_is_due_happens_once_and_in_order(ledger):
    told = []
    ledger.listeners.append(lambda kind, row: told.append((kind, row.id)))
    now = ledger.clock.now()
    paid = payment(ledger)
    later = refund(ledger, paid, 1, status="pending", due_at=now + timedelta(seconds=9))
    later.due_status = "failed"
    sooner = refund(ledger, paid, 1, status="pending", due_at=now + timedelta(seconds=5))
    sooner.due_status = "succeeded"
    ledger.add_refund(later)
    ledger.add_refund(sooner)
    del told[:]
    ledger.advance()
    assert told == []
    ledger.clock.advance(timedelta(seconds=60))
    ledger.advance()
    ledger.advance()
    assert told == [("refund.succeeded", sooner.id), ("refund.failed", later.id)]


def test_a_change_by_hand_takes_back_what_was_due(ledger):
    paid = payment(ledger)
    back = refund(ledger, paid, status="pending", due_status="succeeded")
    back.due_at = ledger.clock.now() + timedelta(seconds=5)
    ledger.add_refund(back)
    ledger.change(back, status="failed", due_at=None)
    ledger.clock.advance(timedelta(seconds=60))
    ledger.advance()
    assert back.status == "failed"


def test_accounts_are_found_by_all_their_credentials(ledger):
    found = ledger.account_with("paypal", client_id="sandbox-client-main", client_secret="wrong")
    assert found is None
    assert ledger.account_with("stripe", api_key="sk_test_sandbox_japan").name == "stripe-japan"
    assert ledger.account_with("nmi", security_key="sk_test_sandbox_japan") is None


def test_refunds_are_found_by_what_the_client_called_them(ledger):
    paid = payment(ledger)
    mine = ledger.add_refund(refund(ledger, paid, reference="A1"))
    account = ledger.accounts["stripe-main"]
    assert ledger.refunds_called(account, "A1") == [mine]
    assert ledger.refunds_called(ledger.accounts["stripe-japan"], "A1") == []


def test_the_clock_does_not_go_back():
    clock = Clock()
    with pytest.raises(ValueError, match="forward"):
        clock.advance(timedelta(seconds=-1))
