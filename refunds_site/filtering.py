"""Lists that answer only to filters they know."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions
from rest_framework.request import Request


class FilterBackend(DjangoFilterBackend):
    """Filters lists only, and refuses one that it does not know, that comes twice or has no value.

    A filter with a slip in its name would otherwise answer with every row there is, and so would
    one that a program fills from an empty variable.
    """

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        if view.detail:
            return queryset
        filterset = self.get_filterset_class(view, queryset)
        filters = set(filterset.base_filters) if filterset else set()
        known = filters | {"cursor", "page_size", "ordering", "format"}
        errors = {}
        for name, values in request.query_params.lists():
            if name not in known:
                errors[name[:50]] = [_("There is no such filter.")]
            elif len(values) > 1:
                errors[name] = [_("This filter may be given once only.")]
            elif name in filters and not values[0].strip():
                errors[name] = [_("This filter has no value. Give it one, or leave it out.")]
        if errors:
            raise exceptions.ValidationError(errors)
        return super().filter_queryset(request, queryset, view)
