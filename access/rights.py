"""What a person may do, and for which accounts.

The groups of a person count for every account, also one that comes later; an account role counts
for its account alone. ``person.has_perm(right)`` asks for every account, ``person.has_perm(right,
about)`` for the account of an object: who forgets the object denies more, never less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.models import Permission
from django.db.models import F, IntegerField, Model, QuerySet, Value

from gateways.models import ProcessorAccount

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

    Person = User | AbstractBaseUser | AnonymousUser

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Rights:
    """Permissions by name, as ``refunds.request_refund``; ``by_account`` has keys of accounts."""

    everywhere: frozenset[str]
    by_account: Mapping[int, frozenset[str]]

    def at(self, account_id: int) -> frozenset[str]:
        return self.everywhere | self.by_account.get(account_id, frozenset())

    @property
    def somewhere(self) -> frozenset[str]:
        return self.everywhere.union(*self.by_account.values())


def rights_of(person: Any) -> Rights:
    """Read once for a person, in one query."""
    rights: Rights | None = getattr(person, "_rights", None)
    if rights is None:
        # On the person, also where a request has it in a wrapper of its own.
        rights = person._rights = _read(person)  # noqa: SLF001
    return rights


def account_of(about: Model) -> int:
    """The key of the account that an object belongs to. Raises TypeError for one without."""
    if isinstance(about, ProcessorAccount):
        return about.pk
    account_id = getattr(about, "account_id", None)
    if account_id is None:
        raise TypeError(f"{type(about).__name__} belongs to no account: ask without it.")
    return int(account_id)


def may_somewhere(person: Person, right: str) -> bool:
    """Whether there is an account for which the person has the right."""
    if not person.is_active:
        return False
    return _has_all(person) or (person.is_authenticated and right in rights_of(person).somewhere)


def accounts_where(person: Person, right: str) -> frozenset[int] | None:
    """The keys of the accounts for which the person has the right; None for every account."""
    if not (person.is_active and person.is_authenticated):
        return frozenset()
    if _has_all(person):
        return None
    rights = rights_of(person)
    if right in rights.everywhere:
        return None
    return frozenset(key for key, held in rights.by_account.items() if right in held)


def within(
    rows: QuerySet[Row], person: Person, right: str, field: str = "account"
) -> QuerySet[Row]:
    """The rows of those accounts; ``field`` leads from a row to its account."""
    accounts = accounts_where(person, right)
    return rows if accounts is None else rows.filter(**{f"{field}__in": sorted(accounts)})


def _has_all(person: Person) -> bool:
    return bool(getattr(person, "is_superuser", False)) and person.is_active


def _read(person: Any) -> Rights:
    everywhere = Value(None, output_field=IntegerField())
    held = Permission.objects.order_by()
    parts = (
        held.filter(group__account_roles__user=person).annotate(
            at=F("group__account_roles__account")
        ),
        held.filter(group__user=person).annotate(at=everywhere),
        held.filter(user=person).annotate(at=everywhere),
    )
    first, *others = (
        part.values_list("content_type__app_label", "codename", "at") for part in parts
    )
    by_account: dict[int | None, set[str]] = {}
    for app, codename, account_id in first.union(*others):
        by_account.setdefault(account_id, set()).add(f"{app}.{codename}")
    all_accounts = frozenset(by_account.pop(None, ()))
    return Rights(
        all_accounts,
        {key: frozenset(names) for key, names in by_account.items() if key is not None},
    )
