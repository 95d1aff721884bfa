"""What staff say of customers: that two are one, and that one is risky."""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction as database
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit.kinds import Kind
from audit.log import record

from .models import Customer, Transaction
from .twins import mark_twins_of

MERGE = "transactions.merge_customer"
MARK = "transactions.mark_customer"
# How many others of the same name are named.
_SHOWN = 5


class NotMerged(Exception):
    """They cannot be merged. ``str()`` says why."""


def namesakes(customer: Customer) -> list[Customer]:
    """Others of the same name, who may be the same person under another address."""
    if not customer.name:
        return []
    others = Customer.objects.filter(name__iexact=customer.name, merged_into=None)
    return list(others.exclude(pk=customer.pk).order_by("-created_at")[:_SHOWN])


def merge(other: Customer, into: Customer, *, actor: User) -> None:
    """What the other one paid belongs to ``into`` from now on, and what is paid under its address.

    Raises NotMerged.
    """
    with database.atomic():
        other, into = _lock(other, into)
        if other == into:
            raise NotMerged(_("That is this customer."))
        for each in (other, into):
            if each.erased_at:
                raise NotMerged(_("%s is erased.") % each.email)
            if each.merged_into_id:
                raise NotMerged(_("%s is merged into another customer already.") % each.email)
        other.absorbed.update(merged_into=into)
        other.merged_into = into
        other.save(update_fields=["merged_into"])
        into.is_vip |= other.is_vip
        into.is_risky |= other.is_risky
        into.cleared_by = into.cleared_by or other.cleared_by
        into.name, into.locale = into.name or other.name, into.locale or other.locale
        into.save(update_fields=["is_vip", "is_risky", "cleared_by", "name", "locale"])
        _give(Transaction.objects.filter(customer=other), into)
        _log(into, actor, _("Merged with %s.") % other.email)
        _tell(Kind.CUSTOMERS_MERGED, into, other, actor)
    mark_twins_of(into)


def part(other: Customer, *, actor: User) -> None:
    """Undo a merge: what was paid under the other's address is theirs again."""
    with database.atomic():
        locked = Customer.objects.select_for_update().get(pk=other.pk)
        kept = locked.merged_into
        if kept is None:
            return
        locked.merged_into = None
        locked.save(update_fields=["merged_into"])
        theirs = Transaction.objects.filter(customer=kept, customer_email__iexact=locked.email)
        _give(theirs, locked)
        _log(kept, actor, _("Parted from %s.") % locked.email)
        _tell(Kind.CUSTOMERS_SPLIT, kept, locked, actor)


def mark(customer: Customer, *, is_risky: bool, actor: User) -> bool:
    """Have a second person approve what goes back to the customer, or no longer; whether it is new.

    Who takes the mark back does so for others: their own refunds still need that second person.
    """
    with database.atomic():
        locked = Customer.objects.select_for_update(of=("self",)).get(pk=customer.pk)
        if locked.is_risky == is_risky:
            return False
        locked.is_risky, locked.cleared_by = is_risky, None if is_risky else actor
        locked.save(update_fields=["is_risky", "cleared_by"])
        kind = Kind.CUSTOMER_MARKED if is_risky else Kind.CUSTOMER_CLEARED
        _log(locked, actor, str(kind.label))
        record(kind, actor=actor, about=locked, about_name="")
    return True


def _lock(*customers: Customer) -> list[Customer]:
    """The customers as they are now, locked in the order of their addresses, as a sync does."""
    keys = [each.pk for each in customers]
    found = Customer.objects.filter(pk__in=keys).order_by("email").select_for_update(of=("self",))
    by_key = {each.pk: each for each in found}
    return [by_key[key] for key in keys]


def _give(payments: QuerySet[Transaction], to: Customer) -> None:
    # Locked in the order of a sync.
    ordered = payments.order_by("account_id", "external_id").select_for_update()
    keys = list(ordered.values_list("pk", flat=True))
    Transaction.objects.filter(pk__in=keys).update(customer=to)


def _tell(kind: Kind, kept: Customer, other: Customer, actor: User) -> None:
    """By their keys: the log outlives what may be kept of a customer."""
    record(kind, actor=actor, about=kept, about_name="", data={"other": other.pk})


def _log(customer: Customer, actor: User, said: str) -> None:
    LogEntry.objects.log_actions(actor.pk, [customer], CHANGE, said, single_object=True)
