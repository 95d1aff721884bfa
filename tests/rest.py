"""People, their tokens, and something to call the API about."""

import itertools
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import ApiToken, Scope
from gateways.models import ProcessorAccount
from gateways.money import Money
from refunds.attention import flag
from refunds.models import Attention, AttentionKind, Refund, RefundReason, Ruling
from refunds.services import request_refund
from tests.refunds.states import add_attempt
from transactions.models import Transaction

_numbers = itertools.count(1)


def make_person(role: str, **fields: Any) -> User:
    """Somebody of staff in the role."""
    person = User.objects.create_user(
        f"{role}-{next(_numbers)}", **{"is_staff": True, "password": "not a secret"} | fields
    )
    person.groups.add(Group.objects.get(name=role))
    return person


def make_token(person: User, *, scopes: Any = Scope.values, accounts: Any = ()) -> tuple[Any, str]:
    """The token and its key."""
    token = ApiToken(name=f"token {next(_numbers)}", user=person, scopes=list(scopes))
    key = token.issue()
    token.save()
    token.accounts.set(accounts)
    return token, key


def client_with(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    return client


def client_of(role: str, **token: Any) -> APIClient:
    """A client with a token of somebody in the role; it is called ``client.person``."""
    person = make_person(role)
    client = client_with(make_token(person, **token)[1])
    client.person = person
    return client


def make_account(slug: str = "", processor: str = "stripe", **fields: Any) -> ProcessorAccount:
    return ProcessorAccount.objects.create(
        slug=slug or f"{processor}-{next(_numbers)}", processor=processor, mode="test", **fields
    )


def make_transaction(account: ProcessorAccount | None = None, **fields: Any) -> Transaction:
    """A settled payment of 100.00 USD, three days old, as it is in the database."""
    account = account or make_account()
    values = {
        "external_id": f"ch_{next(_numbers)}",
        "currency": "USD",
        "amount_minor": 10_000,
        "status": "settled",
        "created_at": timezone.now() - timedelta(days=3),
    }
    row = Transaction.objects.create(
        account=account, processor=account.processor, mode=account.mode, **values | fields
    )
    return Transaction.objects.get(pk=row.pk)


def make_refund(transaction: Transaction, minor: int, person: User | None = None) -> Refund:
    """A queued refund of ``minor`` units, asked for by the person (somebody who may)."""
    refund, _created = request_refund(
        transaction=transaction,
        amount=Money(minor, transaction.currency),
        reason=RefundReason.objects.get(code="other"),
        note="",
        requested_by=person or make_person("agent"),
        idempotency_key=f"key {next(_numbers)}",
    )
    return refund


def make_case(refund: Refund, kind: str, reason: str = "Somebody has to look.") -> Attention:
    """An open case about the refund."""
    flag(refund, AttentionKind(kind), reason)
    return Attention.objects.get(refund=refund, kind=kind, closed_at__isnull=True)


def make_ruling(refund: Refund, verdict: str, person: User, **fields: Any) -> Ruling:
    """An open ruling of the person about a first attempt, which is made for it if need be."""
    attempt = refund.attempts.first() or add_attempt(refund, "not_sent")
    values = {"evidence": "Nothing on the statement of Friday."} | fields
    return Ruling.objects.create(
        refund=refund, attempt=attempt, verdict=verdict, proposed_by=person, **values
    )


def assert_problem(response: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The response is a problem document of that status (and code); the document."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["title"]
    assert isinstance(document["detail"], str)
    assert document["detail"]
    if code:
        assert document["type"] == f"urn:refund-desk:problem:{code}"
    return document
