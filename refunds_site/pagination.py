"""Pages of a list by key: the cost of a page does not depend on how deep it lies."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from transactions.changelist import Cursor

_ORDERINGS = ("-created_at", "created_at")


class CursorPagination(BasePagination):
    """``{"next", "previous", "results"}`` in the order of ``created_at``, newest first.

    ``page_size`` is at most 200. ``ordering`` is ``-created_at`` or ``created_at``: every list has
    an index for these two, and for no other order. A view whose list begins with the oldest says
    so in its own ``ordering``.
    """

    page_size = 50
    max_page_size = 200

    def paginate_queryset(
        self,
        queryset: Any,
        request: Request,
        view: Any = None,
    ) -> list[Any]:
        self.address = request.build_absolute_uri()
        self.newest_first = self._read_ordering(request, view) == "-created_at"
        size = self._read_page_size(request)
        cursor = self._read_cursor(request, queryset)
        towards_newer = cursor.newer if cursor else not self.newest_first
        if cursor:
            queryset = queryset.filter(cursor.beyond())
        sign = "" if towards_newer else "-"
        rows = list(queryset.order_by(f"{sign}created_at", f"{sign}pk")[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        backwards = towards_newer == self.newest_first
        if backwards:
            rows.reverse()
        self.has_next = bool(rows) and (more or backwards)
        self.has_previous = bool(rows) and (more if backwards else cursor is not None)
        self.rows = rows
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "next": self._link(self.rows[-1], onwards=True) if self.has_next else None,
                "previous": self._link(self.rows[0], onwards=False) if self.has_previous else None,
                "results": data,
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        size = {
            "type": "integer",
            "minimum": 1,
            "default": self.page_size,
            "description": f"More than {self.max_page_size} gives {self.max_page_size}.",
        }
        return [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in {
                "cursor": {"type": "string"},
                "page_size": size,
                "ordering": {"type": "string", "enum": list(_ORDERINGS), "default": _default(view)},
            }.items()
        ]

    def _read_page_size(self, request: Request) -> int:
        text = request.query_params.get("page_size", "")
        if not text:
            return self.page_size
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
            raise ValidationError({"page_size": [_("Enter a whole number from 1 to 200.")]})
        return min(int(text), self.max_page_size)

    def _read_ordering(self, request: Request, view: Any) -> str:
        ordering = request.query_params.get("ordering") or _default(view)
        if ordering not in _ORDERINGS:
            raise ValidationError(
                {"ordering": [_("Lists are ordered by created_at or -created_at only.")]}
            )
        return ordering

    def _read_cursor(self, request: Request, queryset: QuerySet[Any]) -> Cursor | None:
        text = request.query_params.get("cursor", "")
        cursor = Cursor.read(text, queryset.model)
        if text and cursor is None:
            raise ValidationError({"cursor": [_("Use the address in next or previous as it is.")]})
        return cursor

    def _link(self, row: Any, *, onwards: bool) -> str:
        newer = onwards != self.newest_first
        cursor = Cursor(newer, row.created_at, row.pk)
        return replace_query_param(self.address, "cursor", cursor.write())


def _default(view: Any) -> str:
    ordering: str = getattr(view, "ordering", _ORDERINGS[0])
    return ordering
