"""Lists of the staff site: they page by key and never count, so that their cost does not grow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Choices, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from gateways.card_numbers import holds_card_number

from .saved_views import canonical

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# How many names of unknown filters are told, and so much of each.
_NAMES, _NAME = 5, 40


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a list ordered by time: what lies beyond a row, on its newer or older side."""

    newer: bool
    at: datetime
    pk: Any

    @classmethod
    def read(cls, text: str, model: type[Model]) -> Cursor | None:
        """The cursor that :meth:`write` wrote; None for anything else, which is the first page."""
        try:
            side, microseconds, pk = text.split(".", 2)
            at = _EPOCH + int(microseconds) * _MICROSECOND
            return cls({"newer": True, "older": False}[side], at, model._meta.pk.to_python(pk))
        except (ValueError, KeyError, OverflowError, ValidationError):
            return None

    def write(self) -> str:
        side = "newer" if self.newer else "older"
        return f"{side}.{(self.at - _EPOCH) // _MICROSECOND}.{self.pk}"

    def beyond(self, moment: str = "created_at") -> Q:
        """The rows on that side, in a list ordered by the column ``moment`` and the key."""
        # Written so that PostgreSQL enters the index at the moment and only looks past the ties.
        side = "gt" if self.newer else "lt"
        past_ties = Q(**{f"{moment}__{side}": self.at}) | Q(**{f"pk__{side}": self.pk})
        return Q(**{f"{moment}__{side}e": self.at}) & past_ties


class KeysetChangeList(ChangeList):
    """Newest first by (``moment``, pk), or oldest first. A page costs one query at any depth.

    ``newer_url`` and ``older_url`` are empty at the two ends.
    """

    moment = "created_at"
    oldest_first = False
    newer_url = older_url = ""
    # What the address asks for and no list knows, in words: it is told, and otherwise ignored.
    ignored: tuple[str, ...] = ()
    # What is searched for passes for a card number: nothing is found, and it is not shown again.
    is_for_card_number = False

    def get_filters_params(self, params: Any = None) -> Any:
        """Only what a filter of this list reads: columns cannot be asked for by name."""
        asked = super().get_filters_params(params)
        return {name: values for name, values in asked.items() if name in self._known}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        if holds_card_number(self.query):
            self.is_for_card_number, self.query = True, ""
            del self.params[SEARCH_VAR]
        rows = super().get_queryset(request, exclude_parameters)
        unread = {
            str(each.parameter_name): str(each.title) for each in self._specs if each.is_ignored
        }
        others = super().get_filters_params().keys() - self._known
        self.ignored = (*unread.values(), *(name[:_NAME] for name in sorted(others)[:_NAMES]))
        for name in (*unread, *others):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return rows.none() if self.is_for_card_number else rows

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return self._order(oldest_first=self.oldest_first)

    def get_results(self, request: HttpRequest) -> None:
        cursor = Cursor.read(request.GET.get(PAGE_VAR, ""), self.model)
        try:
            rows, before, after = self._read(cursor)
        except (ValueError, DataError) as error:  # a lookup that PostgreSQL cannot read
            raise IncorrectLookupParameters from error
        back = self._page_url(rows[0], newer=not self.oldest_first) if before else ""
        on = self._page_url(rows[-1], newer=self.oldest_first) if after else ""
        self.newer_url, self.older_url = (on, back) if self.oldest_first else (back, on)
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = False

    @property
    def is_narrowed(self) -> bool:
        """Whether anything was searched or filtered for."""
        is_searched = bool(self.query) or self.is_for_card_number
        return is_searched or any(spec.chosen() for spec in self._specs)

    @property
    def query_to_keep(self) -> str:
        """What is searched and filtered for, as a saved view keeps it."""
        return canonical(self.params, {SEARCH_VAR, *self._known})

    @property
    def _known(self) -> set[str]:
        offered = cast(Iterable[type[ListFilter]], self.list_filter)
        return {str(each.parameter_name) for each in offered}

    @property
    def _specs(self) -> list[ListFilter]:
        return cast(list[ListFilter], self.filter_specs)

    def _read(self, cursor: Cursor | None) -> tuple[list[Any], bool, bool]:
        """The rows of a page, and whether there are rows before and after them."""
        rows, size = self.queryset, self.list_per_page
        if cursor and cursor.newer != self.oldest_first:  # back towards the first page
            turned = self._order(oldest_first=not self.oldest_first)
            found = list(rows.filter(cursor.beyond(self.moment)).order_by(*turned)[: size + 1])
            if len(found) > size:
                return found[size - 1 :: -1], True, True
            cursor = None  # the first page, whole again
        if cursor:
            rows = rows.filter(cursor.beyond(self.moment))
        found = list(rows[: size + 1])
        return found[:size], bool(cursor and found), len(found) > size

    def _order(self, *, oldest_first: bool) -> list[str]:
        return [self.moment, "pk"] if oldest_first else [f"-{self.moment}", "-pk"]

    def _page_url(self, row: Any, *, newer: bool) -> str:
        cursor = Cursor(newer, getattr(row, self.moment), row.pk)
        return self.get_query_string({PAGE_VAR: cursor.write()})


class ListFilter(admin.SimpleListFilter):
    """A filter of the bar above a list; ``kind`` says how the bar draws it. None of them counts.

    ``offered`` are the choices, where they do not depend on the rows.
    """

    kind: ClassVar[str] = "choice"
    offered: ClassVar[type[Choices] | None] = None
    is_rare: ClassVar[bool] = False  # drawn behind "More filters"
    is_ignored = False  # its value makes no sense

    def has_output(self) -> bool:
        return True

    def chosen(self) -> str:
        """The value in the address, or nothing where it is empty or makes no sense."""
        return "" if self.is_ignored else self.value() or ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.chosen()
        if not value:
            return queryset
        choices = {str(key) for key, _label in self.lookup_choices}
        self.is_ignored = self.kind == "choice" and value not in choices
        try:
            return queryset if self.is_ignored else self.narrow(queryset, value)
        except ValueError:
            self.is_ignored = True
            return queryset

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Raises ValueError for what makes no sense."""
        return queryset.filter(**{str(self.parameter_name): value})

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[Any, Any]]:
        return self.offered.choices if self.offered else ()


class FlagFilter(ListFilter):
    """A box to tick."""

    kind = "flag"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value not in {"true", "1"}:
            raise ValueError(value)
        return self.only(queryset)

    def only(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): True})


class DateFilter(ListFilter):
    """By the column ``moment`` that the list is ordered by."""

    kind = "date"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.moment: str = model_admin.list_class.moment


class FromDateFilter(DateFilter):
    title = _("From")
    parameter_name = "created_after"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.moment}__gte": _midnight(value)})


class ToDateFilter(DateFilter):
    title = _("To")
    parameter_name = "created_before"

    def narrow(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.moment}__lt": _midnight(value, days=1)})


def _midnight(text: str, *, days: int = 0) -> datetime:
    """The beginning of a day, in the person's time zone. Raises ValueError."""
    try:
        day = date.fromisoformat(text) + timedelta(days=days)
        return timezone.make_aware(datetime.combine(day, time.min))
    except OverflowError as error:
        raise ValueError(text) from error
