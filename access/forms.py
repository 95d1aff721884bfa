"""What a person sets up for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserChangeForm, UserCreationForm

from gateways.validators import RefusesCardNumbers

from .models import Profile

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ModelForm = forms.ModelForm[Profile]
    _GroupForm = forms.ModelForm[Group]
else:
    _ModelForm = _GroupForm = forms.ModelForm


class ProfileForm(RefusesCardNumbers, _ModelForm):
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

    def save(self, commit: bool = True) -> Profile:
        """Only what is typed here: the profile also knows which sessions were ended."""
        self.instance.save(update_fields=self.Meta.fields)
        return self.instance


class PersonForm(RefusesCardNumbers, UserChangeForm):
    """What is known of a person of staff."""


class NewPersonForm(RefusesCardNumbers, UserCreationForm):
    """Somebody who is added to the staff."""


class GroupForm(RefusesCardNumbers, _GroupForm):
    """A group that somebody makes beside the shipped roles."""
