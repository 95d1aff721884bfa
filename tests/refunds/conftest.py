"""Accounts, people and transactions that refunds are tried on.

Models are imported where they are used: this file is read before the settings are known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from gateways.money import Money

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from gateways.base import Payment
    from gateways.models import ProcessorAccount
    from refunds.models import Refund, RefundReason, WebhookEvent
    from transactions.models import Transaction

    from .hooks import Hooks

_numbers = itertools.count(1)


@pytest.fixture
def make_user(db) -> Callable[..., User]:
    """A member of staff with the named permissions, such as ``refunds.request_refund``."""
    from django.contrib.auth.models import Permission, User

    def make(*permissions: str, **fields: object) -> User:
        user = User.objects.create_user(f"person-{next(_numbers)}", is_staff=True, **fields)
        for name in permissions:
            app, codename = name.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app, codename=codename)
            )
        return User.objects.get(pk=user.pk)

    return make


@pytest.fixture
def agent(make_user) -> User:
    return make_user("refunds.request_refund", "refunds.view_refund")


@pytest.fixture
def approver(make_user) -> User:
    return make_user("refunds.approve_refund", "refunds.view_refund")


@pytest.fixture
def rule(agent, approver) -> Callable[..., Refund]:
    """Have two people rule; the refund as it is then."""
    from refunds.rulings import confirm, propose

    def rule(refund: Refund, verdict: str) -> Refund:
        evidence = "The statement of Friday has no such refund."
        return confirm(
            propose(refund, verdict=verdict, evidence=evidence, actor=agent), actor=approver
        )

    return rule


@pytest.fixture
def reason(db) -> RefundReason:
    from refunds.models import RefundReason

    return RefundReason.objects.get(code="requested_by_customer")


@pytest.fixture
def make_account(db) -> Callable[..., ProcessorAccount]:
    from gateways.models import ProcessorAccount

    def make(processor: str = "stripe", **fields: object) -> ProcessorAccount:
        slug = fields.pop("slug", f"{processor}-{next(_numbers)}")
        return ProcessorAccount.objects.create(
            slug=slug, processor=processor, mode="test", **fields
        )

    return make


@pytest.fixture
def make_transaction(make_account) -> Callable[..., Transaction]:
    from transactions.models import Transaction

    def make(account: ProcessorAccount | None = None, **fields: object) -> Transaction:
        account = account or make_account()
        values = {
            "external_id": f"ch_{next(_numbers)}",
            "currency": "USD",
            "amount_minor": 10_000,
            "status": "settled",
            "created_at": timezone.now() - timedelta(days=3),
            "method_type": "card",
            "brand": "visa",
            "last4": "4242",
        }
        row = Transaction.objects.create(
            account=account,
            processor=account.processor,
            mode=account.mode,
            **(values | fields),
        )
        return Transaction.objects.get(pk=row.pk)

    return make


@pytest.fixture
def mirror(make_transaction) -> Callable[[ProcessorAccount, Payment], Transaction]:
    """A transaction row for a payment that a gateway reported."""

    def make(account: ProcessorAccount, payment: Payment) -> Transaction:
        return make_transaction(
            account,
            external_id=payment.external_id,
            related_ids=" ".join(payment.related_ids),
            currency=payment.amount.currency,
            amount_minor=payment.amount.minor,
            status=payment.status.value,
            created_at=payment.created_at,
            settled_at=payment.settled_at,
            method_type=payment.method.type,
            last4=payment.method.last4,
        )

    return make


@pytest.fixture
def ask(agent, reason) -> Callable[..., Refund]:
    """Request a refund of ``minor`` units; a fresh idempotency key each time."""

    from refunds.services import request_refund

    def make(transaction: Transaction, minor: int, **fields: object) -> Refund:
        values = {
            "reason": reason,
            "note": "",
            "requested_by": agent,
            "idempotency_key": f"key-{next(_numbers)}",
        }
        refund, _created = request_refund(
            transaction=transaction,
            amount=Money(minor, transaction.currency),
            **(values | fields),
        )
        return refund

    return make


@pytest.fixture
def paid(make_account) -> Transaction:
    """A transaction of 10.00 USD, and nothing at any processor."""
    from .reports import pay

    return pay(make_account("stripe"))


@pytest.fixture(params=["stripe", "paypal", "authorizenet", "nmi"])
def desk(request, sandbox, ask, transactional_db):
    """Each processor in turn; commits are real, as a worker needs them."""
    from .desk import Desk

    return Desk(sandbox, request.param, ask)


@pytest.fixture
def hooks(desk) -> Hooks:
    """The webhooks of that processor."""
    from .hooks import Hooks

    return Hooks(desk)


@pytest.fixture
def told(desk, hooks) -> tuple[Transaction, WebhookEvent]:
    """A refund made in the dashboard and delivered, not processed: its transaction and event."""
    from refunds.models import WebhookEvent

    transaction = desk.pay()
    event = hooks.events(hooks.refund(transaction, 1_500))[0]
    assert hooks.deliver(event).status_code == 200
    return transaction, WebhookEvent.objects.get()


@pytest.fixture
def missed(desk, agent, approver) -> Refund:
    """Made and ruled so under a wrong id. Another refund that was never made counts as made too.

    So its payment has no room by our rows, though it has at NMI; an older one of the same card has.
    """
    from .unreferenced import make_unreferenced, miss

    desk.pay()
    first = make_unreferenced(desk, shape="A", payment=desk.pay(5_000))
    second = make_unreferenced(desk, shape="A", when="before", payment=first.transaction)
    for refund, wrong in ((second, "8888"), (first, "7777")):
        miss(desk, refund, agent, approver, wrong)
    first.refresh_from_db()
    desk.show_late(0)
    return first
