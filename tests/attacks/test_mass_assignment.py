"""Every field of every model, sent along with every request that writes."""

import json
import uuid

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.urls import reverse

from access.models import ApiToken
from gateways.models import ProcessorAccount
from refunds.models import ApprovalRule, Refund
from tests import pages
from tests.refunds_site.test_routes import BODIES as API_BODIES
from tests.refunds_site.test_routes import MATRIX
from tests.rest import (
    client_of,
    make_account,
    make_case,
    make_person,
    make_refund,
    make_ruling,
    make_transaction,
)
from transactions.models import Customer, Transaction

pytestmark = pytest.mark.django_db

OURS = ("gateways", "access", "transactions", "refunds", "campaigns", "auth")


def every_field() -> dict[str, str]:
    """The name of each column and relation of each model, and a value that would change it."""
    found = {}
    for model in apps.get_models():
        if model._meta.app_label in OURS:
            for field in model._meta.get_fields():
                found[field.name] = found[f"{field.name}_id"] = _value(field)
    return found


def _value(field) -> str:
    choices = [str(value) for value, _label in getattr(field, "flatchoices", ())]
    return choices[-1] if choices else "1"


FIELDS = every_field()
# What a body may say by itself.
SAID = {
    "amount", "reason", "note", "text", "verdict", "evidence", "expected_refundable", "why", "seen",
}  # fmt: skip


def test_there_are_many():
    assert len(FIELDS) > 150
    assert {"status", "approved_by", "account", "mode", "reserved_minor", "is_superuser"} <= set(
        FIELDS
    )


@pytest.fixture
def desk():
    """A payment, a refund that waits, and what belongs to them."""
    account = make_account("ours")
    payment = make_transaction(account)
    refund = make_refund(payment, 100)
    return {
        "transactions": payment,
        "refunds": refund,
        "attention": make_case(refund, "made_outside"),
        "ruling": make_ruling(refund, "did_not", make_person("agent")),
    }


def state():
    """Everything of the rows that money and rights depend on."""
    models = (Transaction, Refund, ProcessorAccount, ApprovalRule, ApiToken, Customer)
    rows = {model.__name__: list(model.objects.order_by("pk").values()) for model in models}
    rights = ("is_superuser", "is_staff", "is_active", "username", "password")
    rows["User"] = list(User.objects.order_by("pk").values(*rights))
    rows["groups"] = list(User.groups.through.objects.order_by("pk").values())
    return rows


API = [route for route, method in MATRIX if method == "post"]


@pytest.mark.parametrize("route", API)
def test_no_field_of_ours_is_a_field_of_the_api(desk, route):
    client = client_of("admin")
    before = state()
    names = sorted(set(FIELDS) - SAID - {"provider_refund_id"})
    for batch in (names[start : start + 20] for start in range(0, len(names), 20)):
        body = API_BODIES.get(route, {}) | {name: FIELDS[name] for name in batch}
        response = client.post(address_of(desk, route), body, HTTP_IDEMPOTENCY_KEY="one")
        assert response.status_code == 400, response.content
        assert set(response.json()["errors"]) >= set(batch)
    after = state()
    for rows in (before, after):
        for token in rows["ApiToken"]:
            del token["last_used_at"]
    assert after == before


def address_of(desk, route: str) -> str:
    row = desk[route.split("/")[2]] if "<" in route else None
    address = f"/{route}".replace("<int:pk>", str(row and row.pk))
    address = address.replace("<uuid:pk>", str(desk["refunds"].pk))
    return address.replace("<int:ruling>", str(desk["ruling"].pk))


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_nothing_of_the_api_is_replaced_changed_or_deleted(desk, method):
    client = client_of("admin")
    before = state()["Transaction"], state()["Refund"]
    for route in {route for route, _method in MATRIX}:
        response = getattr(client, method)(address_of(desk, route), FIELDS)
        assert response.status_code == 405, route
    assert (state()["Transaction"], state()["Refund"]) == before


def test_a_refund_is_only_what_its_dialog_asks_for(desk):
    payment = Transaction.objects.get(pk=desk["transactions"].pk)
    person = make_person("agent")
    asked = {
        "amount": "12.50", "reason": "other", "note": "", "words": "",
        "token": str(uuid.uuid4()), "expected_refundable": payment.refundable.major(),
    }  # fmt: skip
    before = state()
    address = reverse("admin:transactions_transaction_refund", args=[payment.pk])
    response = pages.client_of(person).post(address, FIELDS | asked)
    assert response.status_code == 302
    refund = Refund.objects.get(requested_by=person)
    assert (refund.amount_minor, refund.currency, refund.status) == (1_250, "USD", "queued")
    assert (refund.account_id, refund.transaction_id) == (payment.account_id, payment.pk)
    assert (refund.approved_by, refund.origin, refund.retry_of) == (None, "staff", None)
    after = state()
    assert after["ProcessorAccount"] == before["ProcessorAccount"]
    assert after["User"] == before["User"]
    payment.refresh_from_db()
    assert (payment.reserved_minor, payment.refunded_minor) == (1_350, 0)
    assert payment.amount_minor == 10_000


@pytest.mark.parametrize(
    "name",
    [
        "transactions_transaction_add_note", "transactions_transaction_exchange",
        "transactions_transaction_reread", "refunds_refund_hurry", "refunds_refund_check",
        "refunds_refund_retry", "refunds_refund_approve", "refunds_attention_take",
        "refunds_attention_accept", "refunds_attention_ask_now", "refunds_attention_try_now",
    ],
)  # fmt: skip
def test_no_button_reads_more_than_it_says(desk, name):
    row = desk[
        {"transaction": "transactions", "refund": "refunds"}.get(name.split("_")[1], "attention")
    ]
    before = state()
    browser = pages.client_of(make_person("admin"))
    response = browser.post(reverse(f"admin:{name}", args=[row.pk]), FIELDS)
    assert response.status_code in {200, 302}
    after = state()
    for kind in ("Transaction", "ProcessorAccount", "ApprovalRule", "ApiToken"):
        assert after[kind] == before[kind], kind
    [refund] = after["Refund"]
    for column in ("amount_minor", "currency", "status", "approved_by_id", "account_id", "note"):
        assert refund[column] == before["Refund"][0][column], column
    assert {user["username"] for user in after["User"] if user["is_superuser"]} == set()


@pytest.mark.parametrize("role", ["viewer", "agent", "approver", "manager", "admin"])
def test_nobody_lifts_themselves(role):
    """Their own settings, their own page, and every form that saves a person."""
    person = make_person(role)
    browser = pages.client_of(person)
    lifting = FIELDS | {
        "is_superuser": "on", "is_staff": "on", "groups": "1", "user_permissions": "1",
        "username": person.username, "language": "pl", "time_zone": "",
    }  # fmt: skip
    browser.post(reverse("admin:me"), lifting)
    own = reverse("admin:auth_user_change", args=[person.pk])
    browser.post(own, lifting)
    browser.post(reverse("admin:auth_user_add"), lifting)
    person = User.objects.get(pk=person.pk)
    assert not person.is_superuser
    assert not User.objects.filter(is_superuser=True).exists()
    assert not person.user_permissions.exists()


def test_what_a_new_account_may_not_say(desk):
    """Pauses, holds and stored secrets are ours to set."""
    account = ProcessorAccount.objects.get()
    browser = pages.client_of(make_person("admin"))
    account.set_credentials({"api_key": "sk_test_" + "a" * 30})
    account.save()
    before = ProcessorAccount.objects.values().get()
    address = reverse("admin:gateways_processoraccount_change", args=[account.pk])
    browser.post(address, FIELDS | {"slug": "taken", "processor": "nmi", "mode": "live"})
    after = ProcessorAccount.objects.values().get()
    for column in ("slug", "processor", "mode", "encrypted_credentials", "credential_fingerprint",
                   "paused_reason", "held_reason", "created_at"):  # fmt: skip
        assert after[column] == before[column], column


def test_json_of_a_form_is_no_form(desk):
    payment = desk["transactions"]
    address = reverse("admin:transactions_transaction_refund", args=[payment.pk])
    body = json.dumps({"amount": "1.00", "reason": "other", "token": str(uuid.uuid4())})
    browser = pages.client_of(make_person("admin"))
    browser.post(address, body, content_type="application/json")
    assert Refund.objects.count() == 1
