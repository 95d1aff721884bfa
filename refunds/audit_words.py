"""What the data of an audit line say, in the reader's language: names, codes, sentences of ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access import sessions
from gateways.base import Operation
from gateways.models import Mode, Processor
from transactions.retelling import retell

from .models import AttentionKind, Verdict
from .steps import STEPS
from .story import BUTTONS

_L = gettext_lazy
Words = str | Promise

# What is no field of what a line is about; other names are shown as they are.
_NAMES: dict[str, Words] = {
    "above": _L("Limit"),
    "account_roles": _L("roles for one account"),
    "action": _L("Action"),
    "amount": _L("Amount"),
    "attempt": _L("attempt"),
    "campaign": _L("campaign"),
    "case": _L("case"),
    "code": _L("Code"),
    "credentials": _L("Credentials"),
    "factor": _L("Second factor"),
    "from": _L("From"),
    "groups": _L("Groups"),
    "kind": _L("Kind"),
    "listed": _L("Listed by the processor"),
    "payment": _L("Payment"),
    "people": _L("People"),
    "plan": _L("Plan"),
    "query": _L("Filters"),
    "reason": _L("Reason"),
    "reference": _L("Reference"),
    "refund": _L("Refund"),
    "request_id": _L("Request"),
    "ruling": _L("ruling"),
    "since": _L("Since"),
    "to": _L("To"),
    "token": _L("API token"),
    "verdict": _L("Outcome"),
    "what": _L("What"),
    "why": _L("Why"),
}
# Whose values are sentences: what people wrote elsewhere is shown as they wrote it.
_SENTENCES = frozenset({"plan", "reason", "why"})
_FACTORS = Authenticator.Type
_CODES: dict[str, Mapping[str, Words]] = {
    "action": {
        **{name: button.label for name, button in BUTTONS.items()},
        **{str(name): step.label for name, step in STEPS.items()},
        "approve": _L("Approve"),
        "refund": _L("Refund"),
        "reject": _L("Reject"),
    },
    "factor": {
        _FACTORS.TOTP: _L("Authenticator app"),
        _FACTORS.WEBAUTHN: _L("Passkey"),
        _FACTORS.RECOVERY_CODES: _L("Recovery codes"),
    },
    "kind": dict(AttentionKind.choices),
    "mode": dict(Mode.choices),
    "operation": {Operation.REFUND: _L("Refund"), Operation.VOID: _L("Void")},
    "processor": dict(Processor.choices),
    "verdict": dict(Verdict.choices),
    "what": {"audit_log": _L("Audit log"), "campaign": _L("campaign"), "payments": _L("Payments")},
    "why": {
        sessions.IDLE: _L("Nothing was done for a while"),
        sessions.LONG: _L("Signed in too long ago"),
        sessions.ELSEWHERE: _L("Ended from another place"),
    },
}


def model_of(label: str) -> type[Model] | None:
    """The model that a line is about, such as ``access.apitoken``; None where none is left."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


def type_in_words(label: str) -> str:
    model = model_of(label)
    return capfirst(str(model._meta.verbose_name)) if model else label


def name_in_words(name: str, model: type[Model] | None) -> str:
    """The name of a fact: ours, or that of the field of what the line is about."""
    found: Words | None = _NAMES.get(name)
    if found is None and model:
        try:
            found = getattr(model._meta.get_field(name), "verbose_name", None)
        except FieldDoesNotExist:
            found = None
    return capfirst(str(found or name.replace("_", " ")))


def value_in_words(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value_in_words(name, each) for each in value) or "—"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value in (None, ""):
        return "—"
    known = _CODES.get(name, {}).get(str(value))
    if known is not None:
        return capfirst(str(known))
    return retell(str(value)) if name in _SENTENCES else str(value)
