"""What a person sets up for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from .models import Profile

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ModelForm = forms.ModelForm[Profile]
else:
    _ModelForm = forms.ModelForm


class ProfileForm(_ModelForm):
    """Language and time zone; an empty one leaves it to the browser, or to UTC."""

    language = forms.ChoiceField(
        label=_("Language"),
        choices=[("", _("As the browser asks")), *settings.LANGUAGES],
        required=False,
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=lambda: [("", "UTC"), *((name, name) for name in sorted(available_timezones()))],
        required=False,
    )

    class Meta:
        model = Profile
        fields = ("language", "time_zone")
