"""What a person sets up for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserChangeForm, UserCreationForm

from gateways.validators import RefusesCardNumbers

from .last_administrator import ensure_other_than, ensure_without, lets
from .models import Profile

if TYPE_CHECKING:  # the class takes its parameter only from the stubs
    _ModelForm = forms.ModelForm[Profile]
    _GroupForm = forms.ModelForm[Group]
else:
    _ModelForm = _GroupForm = forms.ModelForm

# Whether somebody comes in, and may do everything.
SWITCHES = ("is_active", "is_staff", "is_superuser")


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

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self._may_change_people(cleaned):
            ensure_other_than(self.instance)
        return cleaned

    def _may_change_people(self, cleaned: dict[str, Any]) -> bool:
        """Whether the person will, with what is typed; what is not theirs to type stays."""
        person: User = self.instance
        now = {name: cleaned.get(name, getattr(person, name)) for name in SWITCHES}
        if not (now["is_active"] and now["is_staff"]):
            return False
        groups = cleaned.get("groups", person.groups.all())
        held = Permission.objects.filter(Q(group__in=groups) | Q(user=person))
        return now["is_superuser"] or lets(held)


class NewPersonForm(RefusesCardNumbers, UserCreationForm):
    """Somebody who is added to the staff."""


class GroupForm(RefusesCardNumbers, _GroupForm):
    """A group that somebody makes beside the shipped roles."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        group: Group = self.instance
        if group.pk and not lets(cleaned.get("permissions", group.permissions.all())):
            ensure_without([group])
        return cleaned
