"""Processor accounts on the staff site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from .accounts import check_account, store_account
from .errors import GatewayError
from .forms import credential_fields, form_for
from .models import ProcessorAccount


@admin.register(ProcessorAccount)
class ProcessorAccountAdmin(ModelAdmin):
    """Accounts are switched off, not deleted: their transactions stay."""

    list_display = ("slug", "processor", "mode", "is_active", "state")
    list_filter = ("processor", "mode", "is_active")
    search_fields = ("slug",)
    actions_detail = ("check_credentials",)
    show_facets = admin.ShowFacets.NEVER

    @property
    def conditional_fields(self) -> Mapping[str, str]:
        """A new account shows the credentials of the processor that is chosen."""
        return {
            field: f"processor == '{processor}'"
            for field, (processor, _name) in credential_fields(None).items()
        }

    @display(
        description=_("state"),
        label={_("Held"): "warning", _("Paused"): "warning", _("Ready"): "success"},
    )
    def state(self, account: ProcessorAccount) -> str:
        if account.held_reason:
            return str(_("Held"))
        return str(_("Paused") if account.paused_reason else _("Ready"))

    def has_delete_permission(
        self, request: HttpRequest, obj: ProcessorAccount | None = None
    ) -> bool:
        return False

    def get_readonly_fields(
        self, request: HttpRequest, obj: ProcessorAccount | None = None
    ) -> tuple[str, ...]:
        return ("slug", "processor", "mode", "paused_reason", "held_reason") if obj else ()

    def get_fieldsets(
        self, request: HttpRequest, obj: ProcessorAccount | None = None
    ) -> list[tuple[Any, dict[str, Any]]]:
        facts = ["slug", "processor", "mode", "base_url", "currency", "is_active"]
        facts += [name for name in ("held_reason", "paused_reason") if getattr(obj, name, "")]
        fieldsets: list[tuple[Any, dict[str, Any]]] = [(None, {"fields": facts})]
        may_edit = self.has_change_permission(request, obj) if obj else True
        if may_edit:
            told = ["fee", "refund_fee", "arrives_after_days", "arrives_within_days"]
            fieldsets.append((_("What people are told before they refund"), {"fields": told}))
            fieldsets.append((_("Credentials"), {"fields": list(credential_fields(obj))}))
        return fieldsets

    def get_form(
        self,
        request: HttpRequest,
        obj: ProcessorAccount | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        return super().get_form(request, obj, change, form=form_for(obj), **kwargs)

    def save_model(
        self, request: HttpRequest, obj: ProcessorAccount, form: Any, change: bool
    ) -> None:
        store_account(obj, actor=request.user)

    @action(
        description=_("Check credentials"),
        permissions=["change"],
        dialog={
            "title": _("Check credentials"),
            "description": _("One harmless call asks the processor whether it accepts them."),
            "form_class": BaseDialogForm,
            "form_submit_text": _("Check"),
        },
    )
    def check_credentials(
        self, request: HttpRequest, _form: BaseDialogForm, object_id: str
    ) -> HttpResponse:
        account = self.get_object(request, object_id)
        if account is None:
            raise Http404
        if not self.has_change_permission(request, account):
            raise PermissionDenied
        try:
            messages.success(request, check_account(account, actor=request.user))
        except GatewayError as error:
            messages.error(request, str(error))
        address = reverse("admin:gateways_processoraccount_change", args=[account.pk])
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": address})
        return redirect(address)
