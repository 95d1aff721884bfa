"""The demo set: the same payments for the same seed, with every case that staff will meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from gateways.money import exponent_of

from .accounts import built_in_accounts
from .identifiers import new_payment_id, new_refund_id
from .ledger import Ledger, LedgerPayment, LedgerRefund, SandboxAccount, next_cutoff
from .magic import ending
from .people import Person, make_people

DEFAULT_PAYMENTS = 2_000

_DAYS = 90
_SHARES = {
    "stripe-main": 44,
    "stripe-japan": 8,
    "paypal-main": 20,
    "authorizenet-us": 15,
    "nmi-main": 13,
}
# Published test cards, by brand.
_CARDS = (
    ("visa", "4242"),
    ("visa", "1881"),
    ("mastercard", "4444"),
    ("mastercard", "8210"),
    ("amex", "0005"),
    ("discover", "1117"),
    ("jcb", "0505"),
)
_CARD_WEIGHTS = (40, 10, 22, 6, 12, 6, 4)
_STRIPE_TEST_CARDS = (("visa", "7726"), ("visa", "5126"))
_GOODS = (
    "Running shoes",
    "Desk lamp",
    "Concert ticket",
    "Coffee subscription",
    "Winter jacket",
    "",
)
_PRICES = (9_00, 12_50, 19_99, 24_90, 35_00, 49_95, 75_00, 99_00, 129_99, 249_00, 480_00)
# A price in dollars becomes one in these by a factor of about this.
_FACTORS = {"RON": 4, "PLN": 4, "JPY": 150}

# What magic amounts end in, and parts that people like to try: what is left must not be magic.
_MAGIC = range(400, 470)
_PARTS = (0, 1, 1_00, 2_00, 2_50, 3_00, 5_00)

# What can be the matter with a payment, and how often by the thousand.
_CASES = {
    "": 833,
    "authorized": 15,
    "failed": 25,
    "voided": 12,
    "inquiry": 8,
    "open": 12,
    "chargeback": 7,
    "partly_refunded": 50,
    "refunded": 28,
    "old": 10,
}
_DISPUTES = ("inquiry", "open", "chargeback")


def fill(ledger: Ledger, payments: int) -> None:
    """Add the built-in accounts and that many payments, without telling anybody."""
    listeners, ledger.listeners = ledger.listeners, []
    for account in built_in_accounts():
        ledger.add_account(account)
    if payments:
        _Maker(ledger, payments).make()
    ledger.advance()
    ledger.listeners = listeners


@dataclass(frozen=True, slots=True)
class _Plan:
    """One payment to come: whose, what is the matter with it, and how old it is."""

    account: str
    case: str
    age: timedelta
    method: str = ""  # a method that must occur: bank, apple_pay, google_pay, a last four


class _Maker:
    def __init__(self, ledger: Ledger, payments: int) -> None:
        self.ledger = ledger
        self.random = Random(ledger.seed)
        self.now = ledger.clock.now().replace(microsecond=0)
        self.count = payments
        self.people = make_people(self.random, max(10, payments // 5))

    def make(self) -> None:
        """Oldest first, so that ids and order numbers grow with time."""
        plans = (self._certain() + self._likely())[: self.count]
        plans.sort(key=lambda plan: plan.age, reverse=True)
        for number, plan in enumerate(plans):
            self._pay(plan, f"SO-{10_000 + number}")
        if self.count > len(_SHARES) * len(_CASES):
            self._twin()

    def _certain(self) -> list[_Plan]:
        """Every case once for every account, however small the set."""
        plans = [_Plan(account, case, self._age(case)) for case in _CASES for account in _SHARES]
        for account in _SHARES:
            plans += [
                _Plan(account, "", self._age(""), method)
                for method in ("bank", "apple_pay", "google_pay")
            ]
            plans.append(_Plan(account, "", self._since_cutoff(account)))
        plans += [_Plan("stripe-main", "", self._age(""), last4) for _, last4 in _STRIPE_TEST_CARDS]
        return plans

    def _likely(self) -> list[_Plan]:
        count = self.count
        accounts = self.random.choices(list(_SHARES), list(_SHARES.values()), k=count)
        cases = self.random.choices(list(_CASES), list(_CASES.values()), k=count)
        return [
            _Plan(account, case, self._age(case))
            for account, case in zip(accounts, cases, strict=True)
        ]

    def _age(self, case: str) -> timedelta:
        """How long ago: recent days are denser; some cases need time, or none."""
        part = self.random.random()
        if case == "old":
            return timedelta(days=190 + part * 300)
        if case == "authorized":
            return timedelta(days=part * 6)
        days = part**1.8 * _DAYS
        if case in _DISPUTES:
            days = max(days, 6 + part)
        if case in ("refunded", "partly_refunded"):
            days = max(days, 1 + part)
        return timedelta(days=days)

    def _since_cutoff(self, account: str) -> timedelta:
        """An age of minutes that no cut-off lies in: such a payment has not settled."""
        last = next_cutoff(self.ledger.accounts[account], self.now) - timedelta(days=1)
        return min(timedelta(minutes=self.random.randint(5, 50)), (self.now - last) / 2)

    def _pay(self, plan: _Plan, order: str) -> LedgerPayment:
        ledger, random = self.ledger, self.random
        account = ledger.accounts[plan.account]
        person = random.choice(self.people)
        currency = random.choices(account.currencies, range(9, 9 - len(account.currencies), -1))[0]
        created_at = (self.now - plan.age).replace(microsecond=0)
        serial = ledger.next_serial()
        payment = LedgerPayment(
            id=new_payment_id(ledger, account.dialect, serial),
            dialect=account.dialect,
            account=account.name,
            amount_minor=self._price(currency),
            currency=currency,
            status="settled",
            created_at=created_at,
            settled_at=created_at,
            payer_name=person.name,
            payer_email=person.email,
            order_reference=order if random.random() > 0.08 else "",
            description=random.choice(_GOODS),
            serial=serial,
        )
        self._choose_method(account, payment, plan.method)
        self._set_status(account, payment, plan.case)
        ledger.add_payment(payment)
        self._follow_up(account, payment, plan.case)
        return payment

    def _price(self, currency: str) -> int:
        """Something a shop would ask for; whole yen, and fils that end in 0."""
        dollars = self.random.choice(_PRICES) + self.random.randrange(0, 40) * 50
        if exponent_of(currency) == 0:
            minor = dollars * _FACTORS[currency] // 100
        else:
            minor = dollars * _FACTORS.get(currency, 1) * 10 ** (exponent_of(currency) - 2)
        step = 10 if exponent_of(currency) == 3 else 1
        while any(ending(minor - part * step, currency) in _MAGIC for part in _PARTS):
            minor += 7 * step
        return minor

    def _choose_method(self, account: SandboxAccount, payment: LedgerPayment, wish: str) -> None:
        random = self.random
        payment.brand, payment.last4 = random.choices(_CARDS, _CARD_WEIGHTS)[0]
        fate = random.random()
        if account.dialect == "stripe" and (wish.isdigit() or fate > 0.985):
            brand, last4 = random.choice(_STRIPE_TEST_CARDS)
            payment.brand, payment.last4 = brand, wish if wish.isdigit() else last4
        elif wish == "bank" or (not wish and fate < 0.09):
            self._pay_by_bank(account, payment)
        elif wish == "apple_pay" or (not wish and fate < 0.18):
            payment.wallet = "apple_pay"
        elif wish == "google_pay" or (not wish and fate < 0.25):
            payment.wallet = "google_pay"
        elif account.dialect == "paypal" and fate < 0.8:
            payment.method_type, payment.wallet = "wallet", "paypal"
            payment.brand = payment.last4 = ""

    def _pay_by_bank(self, account: SandboxAccount, payment: LedgerPayment) -> None:
        """SEPA for euros, ACH for dollars; PayPal's own bank payments are eChecks of the wallet."""
        if account.dialect == "paypal":
            payment.method_type, payment.wallet = "bank", "paypal"
            payment.brand = payment.last4 = ""
        elif payment.currency in ("EUR", "USD"):
            payment.method_type = "bank"
            payment.brand = "sepa" if payment.currency == "EUR" else "ach"
            payment.last4 = f"{self.random.randrange(10_000):04d}"

    def _set_status(self, account: SandboxAccount, payment: LedgerPayment, case: str) -> None:
        cutoff = next_cutoff(account, payment.created_at)
        if account.settings.settles_nightly:
            settled = cutoff <= self.now
            payment.settled_at = payment.modified_at = cutoff if settled else None
            payment.status = "settled" if settled else "captured"
        elif payment.method_type == "bank" and self.now - payment.created_at < timedelta(days=4):
            payment.status, payment.settled_at = "captured", None
            payment.due_at, payment.due_status = payment.created_at + timedelta(days=4), "settled"
        if case in ("authorized", "voided", "failed"):
            payment.status = "failed" if case == "failed" else "authorized"
            payment.due_at, payment.due_status = None, ""
        if case in ("authorized", "voided"):
            payment.settled_at = payment.modified_at = None
        if case in _DISPUTES:
            disputed_at = payment.created_at + timedelta(days=4)
            payment.dispute = case
            payment.extra["disputed_at"] = disputed_at.isoformat()

    def _follow_up(self, account: SandboxAccount, payment: LedgerPayment, case: str) -> None:
        """Give back what was given back elsewhere."""
        moment = payment.created_at + (self.now - payment.created_at) / 2
        if case == "voided":
            void_at = payment.created_at + timedelta(minutes=10)
            record = self._record(account, payment, min(void_at, self.now), payment.amount_minor)
            record.operation = "void"
            self.ledger.void(payment, record)
            if account.settings.settles_nightly:
                cutoff = next_cutoff(account, payment.created_at)
                settled_at = cutoff if cutoff <= self.now else None
                self.ledger.change(payment, at=settled_at or moment, settled_at=settled_at)
        elif case in ("partly_refunded", "refunded") and payment.status == "settled":
            amount = payment.amount_minor
            if case == "partly_refunded":
                amount = self._part(amount, payment.currency)
            moment = max(moment, (payment.settled_at or moment) + timedelta(minutes=5))
            record = self._record(account, payment, min(moment, self.now), amount)
            if account.settings.settles_nightly:
                cutoff = next_cutoff(account, record.created_at)
                record.settled_at = cutoff if cutoff <= self.now else None
                record.status = "succeeded" if record.settled_at else "pending"
            self.ledger.add_refund(record)

    def _part(self, amount: int, currency: str) -> int:
        """A part that the processor would take: whole yen, fils that end in 0."""
        part = max(amount * self.random.randint(1, 8) // 10, 1)
        return max(part // 10 * 10, 10) if exponent_of(currency) == 3 else part

    def _record(
        self, account: SandboxAccount, payment: LedgerPayment, at: datetime, amount: int
    ) -> LedgerRefund:
        serial = self.ledger.next_serial()
        return LedgerRefund(
            id=new_refund_id(self.ledger, account.dialect, serial),
            payment_id=payment.id,
            dialect=account.dialect,
            account=account.name,
            amount_minor=amount,
            currency=payment.currency,
            status="succeeded",
            created_at=at.replace(microsecond=0),
            origin="dashboard",
            serial=serial,
        )

    def _twin(self) -> None:
        """Two charges of the same order, 40 seconds apart: somebody clicked twice."""
        person = Person("Zoë Nuñez", "zoe.twin@example.com")
        for seconds in (0, 40):
            age = timedelta(days=2) - timedelta(seconds=seconds)
            twin = self._pay(_Plan("stripe-main", "", age, "apple_pay"), "SO-9999")
            twin.payer_name, twin.payer_email = person.name, person.email
            twin.amount_minor, twin.currency, twin.brand = 64_90, "EUR", "visa"
            twin.order_reference, twin.last4, twin.description = "SO-9999", "4242", "Winter jacket"
