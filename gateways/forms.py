"""The form of a processor account: credentials go in and never come out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminURLInputWidget

from .accounts import change_credentials, credential_hints, credential_names
from .errors import Misconfigured
from .models import Processor, ProcessorAccount
from .registry import open_gateway

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ModelForm = forms.ModelForm[ProcessorAccount]
else:
    _ModelForm = forms.ModelForm


class AccountForm(_ModelForm):
    """Valid only when the account could be called as it is. See :func:`form_for`."""

    credential_fields: ClassVar[dict[str, tuple[str, str]]] = {}
    base_url = forms.URLField(
        label=gettext_lazy("Address"),
        required=False,
        assume_scheme="https",
        max_length=200,
        widget=UnfoldAdminURLInputWidget,
        help_text=ProcessorAccount._meta.get_field("base_url").help_text,
    )

    class Meta:
        model = ProcessorAccount
        fields = ("slug", "processor", "mode", "base_url", "currency", "is_active")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # puts the other fields into the instance
        if self.errors:
            return
        typed = {
            name: self.cleaned_data[field]
            for field, (processor, name) in self.credential_fields.items()
            if processor == self.instance.processor and self.cleaned_data[field]
        }
        try:
            change_credentials(self.instance, typed)
            open_gateway(self.instance)
        except Misconfigured as error:
            self.add_error(None, str(error))


def credential_fields(account: ProcessorAccount | None) -> dict[str, tuple[str, str]]:
    """Field name → (processor, credential): of the account, or of all processors for a new one."""
    if account:
        return {name: (account.processor, name) for name in credential_names(account.processor)}
    return {
        f"{processor}_{name}": (processor, name)
        for processor in Processor.values
        for name in credential_names(processor)
    }


def form_for(account: ProcessorAccount | None) -> type[AccountForm]:
    """The form with one password field for each credential."""
    fields = credential_fields(account)
    hints = _hints(account) if account else {}
    declared: dict[str, Any] = {
        field: forms.CharField(
            label=name,
            required=False,
            max_length=1000,
            widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
            help_text=_("Set: %s. Leave empty to keep it.") % hints[name]
            if name in hints
            else _("Not set."),
        )
        for field, (_processor, name) in fields.items()
    }
    return type("AccountForm", (AccountForm,), declared | {"credential_fields": fields})


def _hints(account: ProcessorAccount) -> dict[str, str]:
    try:
        return credential_hints(account)
    except Misconfigured:
        return {}  # no key opens them: all have to be entered again
