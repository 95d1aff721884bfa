"""Takes out of payments who paid them. Amounts, ids, times and states stay: they are the books."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import chain, count
from typing import Any
from urllib.parse import quote_plus

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Case, Q, QuerySet, Value, When
from django.db.models.functions import Now

from .models import Customer, Note, SavedView, Transaction

ERASED = "[erased]"


class Names:
    """Under which names and addresses a customer is known, and what stands in their place."""

    # Shorter ones are parts of other words.
    _SHORTEST = 4

    def __init__(self, known: Iterable[str], pseudonym: str) -> None:
        self.known = {each for each in known if len(each) >= self._SHORTEST}
        self.pseudonym = pseudonym
        longest_first = sorted(self.known, key=len, reverse=True)
        either = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)  # not in ids

    def replaced(self, text: str) -> str:
        """The text with the pseudonym in their place."""
        return self._pattern.sub(self.pseudonym, text) if self.known else text

    def replaced_in(self, rows: QuerySet[Any], *columns: str) -> int:
        """Write the pseudonym into texts, and lists of texts, that name them; how many rows."""
        changed = 0
        for row in rows.iterator():
            before = {name: getattr(row, name) for name in columns}
            after = {name: self._in_value(value) for name, value in before.items()}
            if after != before:
                rows.filter(pk=row.pk).update(**after)
                changed += 1
        return changed

    def _in_value(self, value: object) -> object:
        match value:
            case str():
                return self.replaced(value)
            case dict():
                return {name: self._in_value(each) for name, each in value.items()}
            case list():
                return [self._in_value(each) for each in value]
        return value


def pseudonym_of(customer: Customer) -> str:
    """What stands in the place of name and address: no ``@``, so that no sync takes it for one."""
    return f"erased-{customer.pk}"


def lock(customer: Customer) -> list[Customer]:
    """The customer that others were merged into first, and those; locked as a merge does."""
    kept = customer.merged_into_id or customer.pk
    theirs = Customer.objects.filter(Q(pk=kept) | Q(merged_into=kept))
    found = list(theirs.order_by("email").select_for_update(of=("self",)))
    return sorted(found, key=lambda each: each.pk != kept)


def lock_payments(customers: Collection[Customer]) -> list[int]:
    """Keys of what they paid, locked in the order of a sync."""
    paid = Transaction.objects.filter(customer__in=customers)
    ordered = paid.order_by("account_id", "external_id").select_for_update(of=("self",))
    return list(ordered.values_list("pk", flat=True))


def names_of(customers: Collection[Customer], payments: Collection[int]) -> Names:
    """Every name and address that stands on them and on what they paid."""
    on_payments = Transaction.objects.filter(pk__in=payments).values_list(
        "customer_name", "customer_email"
    )
    known = {name for pair in on_payments for name in pair}
    known |= {name for each in customers for name in (each.name, each.email)}
    return Names(known, pseudonym_of(next(iter(customers))))


def erase_customers(customers: Iterable[Customer]) -> None:
    for each in customers:
        each.name = each.email = pseudonym_of(each)
        # What makes a second person approve their refunds stays: it says nothing of who they are.
        each.locale, each.is_vip = "", False
        each.save(update_fields=["name", "email", "locale", "is_vip"])
        Customer.objects.filter(pk=each.pk).update(erased_at=Now())
    _erase_log(customers)


def erase_payments(payments: Collection[int], pseudonym: str) -> int:
    """Payer, description and notes of payments; how many notes."""
    Transaction.objects.filter(pk__in=payments).update(
        customer_name=pseudonym,
        customer_email="",
        description=Case(When(description="", then=Value("")), default=Value(ERASED)),
        is_erased=True,
    )
    return Note.objects.filter(transaction__in=payments).update(text=ERASED)


def erase_from_queries(rows: QuerySet[Any], names: Names) -> None:
    """Kept searches for them, in addresses: what they paid is found by the pseudonym now."""
    quoted = Names(map(quote_plus, names.known), names.pseudonym)
    named = Q()
    for each in quoted.known:
        named |= Q(query__icontains=each)
    if named:
        quoted.replaced_in(rows.filter(named), "query")


def erase_from_views(names: Names) -> None:
    """Their queries, and the names that people gave them."""
    erase_from_queries(SavedView.objects.all(), names)
    named = Q()
    for each in names.known:
        named |= Q(name__icontains=each)
    for view in SavedView.objects.filter(named) if named else ():
        if (name := names.replaced(view.name)) != view.name:
            SavedView.objects.filter(pk=view.pk).update(name=_free_name(view, name))


def _free_name(view: SavedView, name: str) -> str:
    """The name, or one like it that its owner has given to no other view."""
    others = SavedView.objects.filter(owner=view.owner_id).exclude(pk=view.pk)
    taken = set(others.values_list("name", flat=True))
    numbered = (f"{name[: SavedView.NAME_LENGTH - 10]} ({number})" for number in count(2))
    return next(
        each for each in chain([name[: SavedView.NAME_LENGTH]], numbered) if each not in taken
    )


def _erase_log(customers: Iterable[Customer]) -> None:
    """What the staff site's own log says of merges repeats the addresses."""
    kind = ContentType.objects.get_for_model(Customer)
    for each in customers:
        LogEntry.objects.filter(content_type=kind, object_id=str(each.pk)).update(
            object_repr=each.name, change_message=ERASED
        )
