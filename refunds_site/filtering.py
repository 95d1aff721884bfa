"""Lists that answer only to filters they know."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions
from rest_framework.request import Request


class FilterBackend(DjangoFilterBackend):
    """Filters lists only, and refuses a parameter that it does not know or that comes twice.

    A filter with a slip in its name would otherwise answer with every row there is.
    """

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        if view.detail:
            return queryset
        filterset = self.get_filterset_class(view, queryset)
        known = set(filterset.base_filters) if filterset else set()
        known |= {"cursor", "page_size", "ordering", "format"}
        errors = {}
        for name, values in request.query_params.lists():
            if name not in known:
                errors[name[:50]] = [_("There is no such filter.")]
            elif len(values) > 1:
                errors[name] = [_("This filter may be given once only.")]
        if errors:
            raise exceptions.ValidationError(errors)
        return super().filter_queryset(request, queryset, view)
