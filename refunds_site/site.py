"""The staff site: Django's admin in django-unfold's dress. It opens on the transactions."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.sites import UnfoldAdminSite


class RefundDeskSite(UnfoldAdminSite):
    enable_nav_sidebar = True

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.user.has_perm("transactions.view_transaction"):
            return redirect("admin:transactions_transaction_changelist")
        page: HttpResponse = super().index(request, extra_context)
        return page
