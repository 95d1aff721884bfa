"""Searches and filters of the transactions table under a name, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, unquote_plus, urlencode

from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.db import transaction as database
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _

from audit.kinds import Kind
from audit.log import changes, record, take_turn
from gateways.card_numbers import holds_card_number

from .models import SavedView

# A person keeps no more, so that the sidebar stays one glance and its numbers stay cheap.
MOST = 20
SHARE = "transactions.share_savedview"


class NotSaved(Exception):
    """The view cannot be kept. ``str()`` says why."""


def visible_to(user: User) -> QuerySet[SavedView]:
    """Their own, and those that others share."""
    return SavedView.objects.filter(Q(owner=user) | Q(is_shared=True)).order_by("name", "pk")


def shown_to(request: HttpRequest, user: User) -> list[SavedView]:
    """The same, read once for a request."""
    kept = vars(request)
    if "saved_views" not in kept:
        kept["saved_views"] = list(visible_to(user))
    views: list[SavedView] = kept["saved_views"]
    return views


def canonical(asked: Mapping[str, str], known: Iterable[str]) -> str:
    """What an address asks a table for, always written the same; empty when it asks for nothing."""
    chosen = {name: asked.get(name, "").strip() for name in known}
    return urlencode(sorted((name, value) for name, value in chosen.items() if value))


def without_search(query: str) -> str:
    """The query as logs keep it: what was searched for may be the name of a customer."""
    asked = parse_qsl(query)
    return urlencode([(name, "…" if name == SEARCH_VAR else value) for name, value in asked])


def save(owner: User, name: str, query: str, *, is_shared: bool) -> SavedView:
    """Keep what a canonical query shows under a name; the same name again replaces the query.

    Raises NotSaved.
    """
    if not query:
        raise NotSaved(_("Search or filter first: a view of everything needs no name."))
    if len(query) > SavedView.QUERY_LENGTH:
        raise NotSaved(_("The search is too long to be kept. Make it shorter."))
    if holds_card_number(unquote_plus(query)):
        raise NotSaved(_("The search holds a card number, which is not kept. Take it out."))
    if is_shared and not owner.has_perm(SHARE):
        raise NotSaved(_("You may not share views. Keep it for yourself."))
    own = SavedView.objects.filter(owner=owner)
    if not own.filter(name=name).exists() and own.count() >= MOST:
        raise NotSaved(_("You keep %s views already. Delete one first.") % MOST)
    values = {"query": query, "is_shared": is_shared}
    try:
        with database.atomic():
            take_turn()  # before the view is held: who deletes it waits here, too
            before = own.filter(name=name).first()
            view, _created = SavedView.objects.update_or_create(values, owner=owner, name=name)
            _tell(before, view)
    except IntegrityError:  # two presses at once
        view = SavedView.objects.get(owner=owner, name=name)
    return view


def _tell(before: SavedView | None, view: SavedView) -> None:
    """Only what others see is told: a view of one's own is nobody's business."""
    if before is None or not before.is_shared:
        if view.is_shared:
            _record(Kind.VIEW_SHARED, view, view.owner, _facts(view))
        return
    if told := changes(_facts(before), _facts(view)):
        _record(Kind.VIEW_CHANGED, view, view.owner, told)


def _record(kind: Kind, view: SavedView, actor: User, told: Mapping[str, object]) -> None:
    """Without the name of the view: it may be that of a customer, and the log is never erased."""
    record(kind, actor=actor, about=view, about_name="", data=told)


def _facts(view: SavedView) -> dict[str, object]:
    return {"query": without_search(view.query), "is_shared": view.is_shared}


def delete(view: SavedView, *, actor: User) -> None:
    with database.atomic():
        take_turn()
        if view.is_shared:
            told = _facts(view) | {"owner": view.owner.get_username()}
            _record(Kind.VIEW_DELETED, view, actor, told)
        view.delete()


def may_delete(view: SavedView, user: User) -> bool:
    """Whoever made it; a shared one also who may share."""
    return view.owner_id == user.pk or (view.is_shared and user.has_perm(SHARE))
