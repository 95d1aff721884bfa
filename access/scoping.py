"""What a request may do, and the accounts whose objects exist for it.

A person may do what their rights say for an account. A token may do what its person may, within its
scopes, and to what belongs to its accounts; anything else is not there at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from gateways.models import Mode, ProcessorAccount

from .models import ApiToken, Scope
from .rights import accounts_where, may_somewhere, within
from .step_up import ensure_proven

Row = TypeVar("Row", bound=Model)
# What viewsets call a method that the address does not have: 405 follows.
_NO_ACTIONS = (None, "metadata")


@dataclass(frozen=True, slots=True)
class Right:
    """What one action needs: a permission of the person and, over a token, its scope.

    ``proven``: over a session also a proof of a few minutes ago who the person is.
    """

    permission: str
    scope: Scope
    proven: bool = False


class HasRight(BasePermission):
    """Compares the request with ``view.rights[view.action]``; what has no right there is denied."""

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        if not user.is_authenticated:
            return False
        if view.action in _NO_ACTIONS:
            return True
        right: Right | None = view.rights.get(view.action)
        if right is None or not (user.is_staff and may_somewhere(user, right.permission)):
            return False
        if right.proven:
            ensure_proven(request)
        return not isinstance(request.auth, ApiToken) or right.scope in request.auth.scopes

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        return request.user.has_perm(view.rights[view.action].permission, obj)


class ScopedViewSet(GenericViewSet[Row]):
    """A viewset whose every action names its right and sees only the accounts of the request."""

    permission_classes = (HasRight,)
    rights: ClassVar[Mapping[str, Right]]
    account_field: ClassVar[str] = "account"

    def get_queryset(self) -> QuerySet[Row]:
        rows, field = super().get_queryset(), self.account_field
        return limit_to_accounts(rows, request=self.request, right=self.rights["list"], field=field)


def limit_to_accounts(
    rows: QuerySet[Row], request: Request, right: Right, field: str
) -> QuerySet[Row]:
    """The rows whose account, found at ``field``, the request may see."""
    rows = within(rows, request.user, right.permission, field)
    if isinstance(request.auth, ApiToken) and (accounts := request.auth.accounts.all()):
        return rows.filter(**{f"{field}__in": [account.pk for account in accounts]})
    return rows


def staff_accounts(request: HttpRequest, right: str) -> list[ProcessorAccount]:
    """The accounts for which the person has a right, by name."""
    theirs = accounts_where(request.user, right)
    return [each for each in _all_accounts(request) if theirs is None or each.pk in theirs]


def has_only_test_accounts(request: HttpRequest) -> bool:
    """Whether nothing on the site moves real money: there are accounts, and all are for tests."""
    modes = {account.mode for account in _all_accounts(request)}
    return modes == {Mode.TEST}


def _all_accounts(request: HttpRequest) -> list[ProcessorAccount]:
    """By name; read once for a request."""
    kept = vars(request)
    if "staff_accounts" not in kept:
        kept["staff_accounts"] = list(ProcessorAccount.objects.order_by("slug"))
    accounts: list[ProcessorAccount] = kept["staff_accounts"]
    return accounts


def visible_accounts(request: Request, right: Right) -> QuerySet[ProcessorAccount]:
    return limit_to_accounts(ProcessorAccount.objects.all(), request, right, "pk")
