"""No card number gets in: every text that people or programs write is looked at, wherever it is.

A new form, serializer or column that is not fails here.
"""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from django import forms
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.test import RequestFactory
from rest_framework import serializers

from gateways.models import ProcessorAccount
from gateways.validators import RefusesCardNumbers, refuse_card_number
from tests.rest import make_person
from transactions.serializers import StrictSerializer, TextField

ROOT = Path(__file__).resolve().parents[2]
OURS = ("gateways", "access", "transactions", "refunds", "campaigns", "refunds_site")
CARD = "Paid with 4242 4242 4242 4242."


def modules():
    """Every module of ours that declares forms or serializers."""
    for app in OURS:
        for path in sorted((ROOT / app).rglob("*.py")):
            text = path.read_text()
            if "migrations" not in path.parts and re.search(
                r"^class \w+\(.*(Form|Serializer)", text, re.MULTILINE
            ):
                yield import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def declared(base):
    """The subclasses of ``base`` that are ours."""
    found = {
        each
        for module in modules()
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, base) and each.__module__ == module.__name__
    }
    return sorted(found, key=lambda each: each.__qualname__)


# What is typed into these proves who somebody is, and is compared or sealed.
PROOFS = {"AddForm", "PasswordForm", "ProveForm", "SignInForm", "UseForm"}


@pytest.mark.parametrize("form", declared(forms.BaseForm), ids=lambda form: form.__name__)
def test_every_form_refuses_card_numbers(form):
    assert issubclass(form, RefusesCardNumbers) or form.__name__ in PROOFS


@pytest.mark.django_db
@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model.__name__)
@pytest.mark.parametrize("is_new", [True, False])
def test_every_form_of_the_staff_site_refuses_card_numbers(model, is_new):
    page = admin.site._registry[model]
    request = RequestFactory().get("/")
    request.user = make_person("admin", is_superuser=True)
    may = page.has_add_permission(request) if is_new else page.has_change_permission(request)
    if not may:
        return  # nothing is written there
    shown = model(processor="nmi") if model is ProcessorAccount else model()
    form = page.get_form(request, None if is_new else shown, change=not is_new)
    texts = {name for name, field in form.base_fields.items() if isinstance(field, forms.CharField)}
    assert issubclass(form, RefusesCardNumbers) or not texts


class _Form(RefusesCardNumbers, forms.Form):
    text = forms.CharField(required=False)
    secret = forms.CharField(required=False, widget=forms.PasswordInput)


def test_the_field_says_what_is_wrong_with_it():
    form = _Form({"text": CARD, "secret": "4242424242424242"})
    assert form.errors == {
        "text": ["This looks like a card number. Take it out: card numbers are never kept here."]
    }
    assert _Form({"text": "Paid with a card."}).is_valid()
    assert refuse_card_number not in _Form.base_fields["text"].validators


@pytest.mark.parametrize(
    "serializer", declared(StrictSerializer), ids=lambda serializer: serializer.__name__
)
def test_every_text_that_the_api_takes_refuses_card_numbers(serializer):
    for name, field in serializer(context={"currency": "USD"}).fields.items():
        is_text = isinstance(field, serializers.CharField)
        assert not is_text or field.read_only or isinstance(field, TextField), name


def test_the_api_reads_bodies_with_those_alone():
    readers = {
        name
        for app in OURS
        for path in (ROOT / app).glob("*api.py")
        for name in re.findall(r"(\w+)\(\s*data=request\.data", path.read_text())
    }
    strict = {each.__name__ for each in declared(StrictSerializer)}
    assert readers
    assert readers - {"said_by"} <= strict  # a parameter, whose type says that it is one
    bodies = [
        path.name
        for app in OURS
        for path in (ROOT / app).rglob("*.py")
        if path.name != "refused_calls.py"  # tells, with a mask, what was refused
        if re.search(r"request\.data\b", re.sub(r"\(\s*data=request\.data", "", path.read_text()))
    ]
    assert not bodies


# Every column of text, and whose words it holds. People's come through the forms and serializers
# above; a processor's are masked on their way in, but for its ids; ours are made of both.
PEOPLE = {
    "access.ApiToken": "name",  # by a command that refuses them
    "auth.Group": "name",
    "auth.User": "username first_name last_name email",
    "campaigns.Campaign": "name query note words",
    "campaigns.CampaignItem": "named typed",
    "gateways.ProcessorAccount": "slug base_url currency",
    "refunds.Refund": "note words rejected_why idem_key",
    "refunds.RefundReason": "code label",
    "refunds.Ruling": "evidence processor_refund_id",
    "transactions.Note": "text",
    "transactions.SavedView": "name query",
    "refunds.Attention": "outcome",
    "refunds.ApprovalRule": "currency",
}
PROCESSORS = {
    "refunds.Attention": "reason evidence",
    "refunds.Doubt": "external_id",
    "refunds.Reconciliation": "error",
    "refunds.Refund": "processor_refund_id failure_processor_code failure_message",
    "refunds.RefundAttempt": "processor_code processor_message exchanges",
    "refunds.WebhookEvent": "event_id event_type payment_id refund_id reference problem",
    "transactions.Customer": "email name",
    "transactions.SyncState": "error rejected",
    "transactions.Transaction": "external_id related_ids currency method_type brand last4 wallet "
    "customer_name customer_email order_reference description",
}
# Ids, hashes, times, choices and sentences that this program makes of its own.
OURSELVES = {
    "access.ApiToken": "digest scopes",
    "access.Profile": "columns language time_zone",
    "admin.LogEntry": "object_id object_repr change_message",
    "auth.Permission": "name codename",
    "auth.User": "password",
    "campaigns.Campaign": "problem cursor",
    "campaigns.CampaignItem": "currency why",
    "contenttypes.ContentType": "app_label model",
    "gateways.ProcessorAccount": "refund_fee_currency encrypted_credentials credential_fingerprint "
    "paused_reason held_reason",
    "refunds.Attention": "subject",
    "refunds.Reconciliation": "cursor counts",
    "refunds.Refund": "currency idem_scope failure_code attention_reason lease_owner",
    "refunds.RefundAttempt": "credential_fingerprint operation reference order",
    "refunds.RefundEvent": "kind from_status to_status data previous_hash hash",
    "sessions.Session": "session_key session_data",
    # Names in it are of our own rows; what was typed and refused is masked (refunds/refusals.py).
    **dict.fromkeys(
        ["audit.AuditEntry", "refunds.AuditLine"],
        "kind actor_name about_type about_id about_name request_id data previous_hash hash",
    ),
    # What django-allauth keeps of a login, sealed where it is a secret; the rest stays empty.
    "account.EmailAddress": "email",
    "account.EmailConfirmation": "key",
    "mfa.Authenticator": "data",
    "socialaccount.SocialAccount": "provider uid extra_data",
    "socialaccount.SocialApp": "provider provider_id name client_id secret key settings",
    "socialaccount.SocialToken": "token token_secret",
    "transactions.Customer": "locale",
    "transactions.SyncState": "cursor counts",
}


def columns():
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            is_text = isinstance(field, (models.CharField, models.TextField, models.JSONField))
            if is_text and not field.choices and not isinstance(field, models.GeneratedField):
                yield f"{model._meta.label}.{field.name}"


def test_of_every_column_of_text_it_is_known_whose_words_it_holds():
    known = {
        f"{model}.{name}"
        for table in (PEOPLE, PROCESSORS, OURSELVES)
        for model, names in table.items()
        for name in names.split()
    }
    of_view = {f"refunds.AuditLine.{name}" for name in ("chain", "from_status", "to_status")}
    assert set(columns()) == known | of_view
