"""How a line of the audit log reads: who, what, about what, and what was before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from access.scoping import staff_accounts
from audit.kinds import Kind
from gateways.models import ProcessorAccount
from gateways.money import Money
from transactions.amounts import localize
from transactions.timeline import name_of

from .audit_words import model_of, name_in_words, type_in_words, value_in_words
from .models import AuditLine, Refund
from .rules import told_reasons
from .states import Status
from .timeline import EVENTS

_L = gettext_lazy
_VIEW = "audit.view_auditentry"
# The kinds of the log by what stands before their dot.
GROUPS: dict[str, str | Promise] = {
    "refund": _L("Refused money actions"),
    "sign_in": _L("Signing in"),
    "two_factor": _L("Second factors"),
    "password": _L("Passwords"),
    "person": _L("People"),
    "group": _L("Groups"),
    "token": _L("API tokens"),
    "account": _L("Processor accounts"),
    "rule": _L("Approval rules"),
    "reason": _L("Refund reasons"),
    "view": _L("Shared views"),
    "customer": _L("Customers"),
    "exchange": _L("Exchanges"),
    "export": _L("Exports"),
    "import": _L("Imports"),
    "campaign": _L("Campaigns"),
}
HEADINGS = (
    _L("At"), _L("Chain"), _L("Number"), _L("Kind"), _L("What"), _L("Who"), _L("Account"),
    _L("About"), _L("Id"), _L("Name"), _L("From"), _L("To"), _L("Address"), _L("Request"),
    _L("Details"), _L("Hash before"), _L("Hash"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a line; ``before`` is None for what did not change."""

    name: str
    value: str
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line as it is shown. ``about_url`` is empty where that has no page."""

    line: AuditLine
    text: str
    group: str
    who: str
    account: ProcessorAccount | None
    about: str
    about_type: str
    about_url: str
    facts: list[Fact]


def choices_of_kinds() -> list[tuple[str, Any]]:
    """What happened to refunds, then each group with its kinds."""
    choices: list[tuple[str, Any]] = [(AuditLine.EVENTS, _("What happened to refunds"))]
    for group, label in GROUPS.items():
        kinds = [kind for kind in Kind if kind.group == group]
        choices.append((group, label))
        if len(kinds) > 1:
            choices += [(kind.value, f"– {kind.label}") for kind in kinds]
    return choices


def build_rows(request: HttpRequest, lines: list[AuditLine]) -> list[Row]:
    """The lines as they are shown, in as many queries for one as for many."""
    actors = {line.actor_id for line in lines if line.actor_id is not None}
    people = {person.pk: person for person in User.objects.filter(pk__in=actors)}
    keys = {line.refund_id for line in lines if line.refund_id is not None}
    refunds = Refund.objects.filter(pk__in=keys).select_related("transaction")
    named = {
        refund.pk: f"{refund.amount}, {refund.transaction}"
        for refund in refunds.defer("transaction__search_text")
    }
    accounts = {account.pk: account for account in staff_accounts(request, _VIEW)}
    return [
        Row(
            line=line,
            text=_text(line),
            group=line.kind.partition(".")[0],
            who=_who(line, people),
            account=accounts.get(line.account_id or 0),
            about=_about(line, named),
            about_type=type_in_words(line.about_type),
            about_url=_url(line),
            facts=_facts(line),
        )
        for line in lines
    ]


def _about(line: AuditLine, named: dict[UUID, str]) -> str:
    known = named.get(line.refund_id) if line.refund_id else None
    return known or line.about_name or line.about_id


def _text(line: AuditLine) -> str:
    if line.chain == AuditLine.EVENTS:
        name = line.kind.partition(".")[2]
        text, _tone = EVENTS.get(name, (name.replace("_", " ").capitalize(), ""))
        return str(text)
    return str(Kind(line.kind).label) if line.kind in Kind.values else line.kind


def _who(line: AuditLine, people: dict[int, User]) -> str:
    """As the person is called now, with the name of that time where it was another."""
    person = people.get(line.actor_id or 0)
    if person is None:
        nobody = _("Somebody unknown") if line.request_id else _("Refund Desk")
        return line.actor_name or nobody
    name = name_of(person)
    was = line.actor_name if line.actor_name not in {"", person.get_username()} else ""
    return f"{name} ({was})" if was else name


def _url(line: AuditLine) -> str:
    try:
        name = line.about_type.replace(".", "_")
        return reverse(f"admin:{name}_change", args=[line.about_id]) if line.about_id else ""
    except NoReverseMatch:
        return ""


def _facts(line: AuditLine) -> list[Fact]:
    """What the data say; a change as what was before and is after."""
    facts = []
    if line.from_status or line.to_status:
        before = _status(line.from_status) or None
        facts.append(Fact(_("Status"), _status(line.to_status), before))
    model = model_of(line.about_type)
    for name, value in _told(line):
        if name == "changed" and isinstance(value, dict):
            facts += [
                Fact(
                    name_in_words(field, model),
                    value_in_words(field, after),
                    value_in_words(field, before),
                )
                for field, (before, after) in value.items()
            ]
        else:
            facts.append(Fact(name_in_words(name, model), value_in_words(name, value)))
    return facts


def _told(line: AuditLine) -> list[tuple[str, Any]]:
    """The data, of an event with its amount as one.

    Each reason for an approval stands by itself: "why" has them joined, "rules" once more.
    """
    if line.chain != AuditLine.EVENTS:
        return list(line.data.items())
    data = dict(line.data)
    told: list[tuple[str, Any]] = []
    if "rules" in data:
        told += [("why", sentence) for sentence in told_reasons(data)]
        del data["rules"], data["why"]
    if {"amount_minor", "currency"} <= data.keys():
        amount = Money(data.pop("amount_minor"), data.pop("currency"))
        told.append(("amount", localize(str(amount))))
    return [*told, *data.items()]


def _status(name: str) -> str:
    return str(Status(name).label) if name in Status.values else name


def cells_of(row: Row) -> list[str]:
    """A line of the file, as :data:`HEADINGS` names its columns."""
    line = row.line
    return [
        timezone.localtime(line.at).isoformat(sep=" "),
        line.chain,
        str(line.sequence),
        line.kind,
        row.text,
        row.who,
        row.account.slug if row.account else "",
        line.about_type,
        line.about_id,
        row.about,
        line.from_status,
        line.to_status,
        line.address or "",
        line.request_id,
        json.dumps(line.data, ensure_ascii=False, sort_keys=True),
        line.previous_hash,
        line.hash,
    ]
