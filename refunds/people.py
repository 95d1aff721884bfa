"""Who counts as one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

if TYPE_CHECKING:
    from .models import Refund


def are_one_person(one: User, other: User) -> bool:
    """Two accounts with one e-mail address are one person, as far as we can tell."""
    address = one.email.strip().casefold()
    return one.pk == other.pk or bool(address and address == other.email.strip().casefold())


def of_person(person: User, role: str) -> Q:
    """Rows in which the person stands in the role, under whatever account."""
    address = person.email.strip()
    return Q(**{role: person}) | (Q(**{f"{role}__email__iexact": address}) if address else Q())


def accounts_of(person: User) -> QuerySet[User, int]:
    """The keys of every account of the person."""
    address = person.email.strip()
    same = Q(pk=person.pk) | (Q(email__iexact=address) if address else Q())
    return User.objects.filter(same).values_list("pk", flat=True)


def is_requester(refund: Refund, person: User) -> bool:
    """Whether the person asked for the refund, under whatever account."""
    requester = refund.requested_by
    return requester is not None and are_one_person(requester, person)
