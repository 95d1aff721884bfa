"""The demo set: the same for the same seed, with every case in it."""

from collections import Counter
from datetime import timedelta

import pytest

from gateways.sandbox.ledger import Ledger
from gateways.sandbox.magic import ending
from gateways.sandbox.seed import DEFAULT_PAYMENTS, fill


@pytest.fixture(scope="module")
def ledger():
    ledger = Ledger(seed=1)
    fill(ledger, DEFAULT_PAYMENTS)
    return ledger


def of(ledger, account):
    return [row for row in ledger.payments.values() if row.account == account]


def test_the_same_seed_makes_the_same_payments(ledger):
    other, different = Ledger(seed=1), Ledger(seed=2)
    fill(other, DEFAULT_PAYMENTS)
    fill(different, DEFAULT_PAYMENTS)
    known = [(row.id, row.amount_minor, row.payer_name) for row in ledger.payments.values()]
    assert known == [(row.id, row.amount_minor, row.payer_name) for row in other.payments.values()]
    assert list(ledger.payments) != list(different.payments)


def test_about_two_thousand_over_ninety_days_and_some_too_old(ledger):
    assert len(ledger.payments) == pytest.approx(2_000, abs=5)
    now = ledger.clock.now()
    ages = [now - row.created_at for row in ledger.payments.values()]
    old = [age for age in ages if age > timedelta(days=180)]
    assert 10 < len(old) < 60
    assert max(age for age in ages if age not in old) < timedelta(days=91)
    recent = sum(age < timedelta(days=30) for age in ages)
    assert recent > sum(timedelta(days=60) < age < timedelta(days=91) for age in ages)
    for account in ("paypal-main", "authorizenet-us"):
        assert any(now - row.created_at > timedelta(days=180) for row in of(ledger, account))


def test_currencies_where_the_processor_has_them(ledger):
    found = {account: {row.currency for row in of(ledger, account)} for account in ledger.accounts}
    for account, currencies in found.items():
        assert currencies == set(ledger.accounts[account].currencies)
    assert "KWD" in found["stripe-main"]
    assert found["authorizenet-us"] == {"USD"}
    assert all(
        row.amount_minor % 10 == 0 for row in ledger.payments.values() if row.currency == "KWD"
    )


@pytest.mark.parametrize("payments", [DEFAULT_PAYMENTS, 90])
@pytest.mark.parametrize(
    "account", ["stripe-main", "stripe-japan", "paypal-main", "authorizenet-us", "nmi-main"]
)
def test_every_account_has_every_case(account, payments):
    ledger = Ledger(seed=5)
    fill(ledger, payments)
    rows = of(ledger, account)
    assert {"authorized", "settled", "failed", "voided"} <= {row.status for row in rows}
    assert {"", "inquiry", "open", "chargeback"} == {row.dispute for row in rows}
    left = [(ledger.refundable_minor(row), row) for row in rows if row.status == "settled"]
    assert any(minor == 0 for minor, _ in left)
    assert any(0 < minor < row.amount_minor for minor, row in left)
    assert {"apple_pay", "google_pay"} <= {row.wallet for row in rows}
    nightly = ledger.accounts[account].settings.settles_nightly
    assert not nightly or any(row.status == "captured" for row in rows)


def test_how_people_pay(ledger):
    methods = Counter(
        (row.dialect, row.method_type, row.wallet) for row in ledger.payments.values()
    )
    for wanted in (
        ("stripe", "bank", ""),
        ("paypal", "wallet", "paypal"),
        ("paypal", "card", ""),
        ("authorizenet", "bank", ""),
        ("nmi", "bank", ""),
    ):
        assert methods[wanted] > 5
    brands = {row.brand for row in ledger.payments.values()}
    assert {"visa", "mastercard", "amex", "discover", "jcb", "sepa", "ach"} <= brands
    assert {"7726", "5126"} <= {row.last4 for row in of(ledger, "stripe-main")}


def test_who_pays(ledger):
    names = {row.payer_name for row in ledger.payments.values() if row.payer_name}
    for first, last in (
        ("А", "я"),
        ("Α", "ω"),
        ("ء", "ي"),
        ("一", "龥"),
        ("가", "힣"),
        ("ぁ", "ん"),
    ):
        assert any(first <= letter <= last for name in names for letter in name)
    assert any(letter in "éöøşščŁÅñ" for name in names for letter in name)
    assert None in {row.payer_name for row in ledger.payments.values()}
    emails = {row.payer_email for row in ledger.payments.values()}
    assert None in emails
    assert all(email.endswith("@example.com") for email in emails if email)
    by_email = {}
    for row in ledger.payments.values():
        by_email.setdefault(row.payer_email, set()).add(row.dialect)
    assert sum(len(dialects) > 1 for dialects in by_email.values()) > 100


def test_no_full_refund_is_magic_by_accident(ledger):
    left = [(ledger.refundable_minor(row), row) for row in ledger.payments.values()]
    untouched = [
        (minor, row) for minor, row in left if minor == row.amount_minor and row.currency != "KWD"
    ]
    for part in (0, 100, 250, 500, 1_000, 2_500):
        assert not any(400 <= ending(minor - part, row.currency) < 470 for minor, row in untouched)


def test_two_charges_are_twins(ledger):
    twins = [row for row in ledger.payments.values() if row.order_reference == "SO-9999"]
    assert len(twins) == 2
    assert abs(twins[0].created_at - twins[1].created_at) == timedelta(seconds=40)
    assert len({(row.amount_minor, row.payer_email, row.last4) for row in twins}) == 1


def test_what_was_given_back_elsewhere_is_from_the_dashboard(ledger):
    assert {row.origin for row in ledger.refunds.values()} == {"dashboard"}
    for row in ledger.refunds.values():
        paid = ledger.payments[row.payment_id]
        assert paid.created_at <= row.created_at <= ledger.clock.now()
        assert row.operation == "void" or ledger.refunded_minor(paid) <= paid.amount_minor


def test_ids_are_the_processors_own(ledger):
    shapes = {
        "stripe": lambda name: name.startswith("ch_"),
        "paypal": lambda name: len(name) == 17 and name == name.upper(),
        "authorizenet": str.isdigit,
        "nmi": str.isdigit,
    }
    for row in ledger.payments.values():
        assert shapes[row.dialect](row.id), row.id


def test_none_is_none():
    ledger = Ledger()
    fill(ledger, 0)
    assert (len(ledger.accounts), len(ledger.payments)) == (5, 0)
