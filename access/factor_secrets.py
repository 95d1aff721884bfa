"""The secrets of second factors as they rest: sealed, each for its person.

Copied onto the row of somebody else a secret does not open. django-allauth seals and unseals
without saying whose secret it is. The row knows: a secret is sealed when its row is saved, and told
whose it is when the row is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import transaction as database
from django.db.models.signals import post_init, pre_save

from audit.kinds import Kind
from audit.log import record
from gateways import envelopes
from gateways.errors import Misconfigured
from gateways.rotation import Fate, Rotated

# Of an app, and of recovery codes; passkeys keep no secret here.
_NAMES = ("secret", "seed")


class Sealed(str):
    """A sealed secret of a row that was read or saved. ``person`` is the key of whose row it is."""

    __slots__ = ("person",)
    person: int


def connect() -> None:
    """Listen to rows that are read and saved; at the start."""
    post_init.connect(_was_read, sender=Authenticator, dispatch_uid="access.factor_was_read")
    pre_save.connect(_is_saved, sender=Authenticator, dispatch_uid="access.factor_is_saved")


def unseal(sealed: str) -> str:
    """The secret of a row. Raises Misconfigured where it is not one of its person's."""
    if not isinstance(sealed, Sealed):
        raise Misconfigured(_OF_NO_ROW)
    return envelopes.unseal(sealed, _about(sealed.person))


def rotate_all(*, new_data_keys: bool = False, dry_run: bool = False) -> Iterator[Rotated]:
    """Renew one factor after the other, each in a commit of its own."""
    for key in list(Authenticator.objects.order_by("pk").values_list("pk", flat=True)):
        yield from _rotate(key, new_data_keys=new_data_keys, dry_run=dry_run)


def keys_in_use() -> Counter[str]:
    """How many secrets hang on which key."""
    factors = Authenticator.objects.values_list("data", flat=True)
    return Counter(
        envelopes.key_id_of(data[name]) for data in factors for name in _NAMES if name in data
    )


_OF_NO_ROW = "The secret of a second factor can be read from its row only."


def _about(person: int) -> str:
    return f"second factor of {person}"


def _was_read(instance: Authenticator, **_signal: Any) -> None:
    if "data" not in vars(instance):  # it is read later, and tells then
        return
    for name in _NAMES:
        if envelopes.is_sealed(sealed := instance.data.get(name, "")):
            instance.data[name] = _of(instance.user_id, sealed)


def _is_saved(instance: Authenticator, **_signal: Any) -> None:
    person = instance.user_id
    for name in _NAMES:
        if text := instance.data.get(name):
            is_new = not envelopes.is_sealed(text)
            sealed = envelopes.seal(text, _about(person)) if is_new else text
            instance.data[name] = _of(person, sealed)


def _of(person: int, sealed: str) -> Sealed:
    told = Sealed(sealed)
    told.person = person
    return told


def _rotate(key: int, *, new_data_keys: bool, dry_run: bool) -> Iterator[Rotated]:
    with database.atomic():
        factor = Authenticator.objects.select_for_update(no_key=True).filter(pk=key).first()
        for name in _NAMES:
            sealed = factor.data.get(name) if factor else None
            if factor is None or sealed is None:
                continue
            slug, hung_on = f"second factor {factor.pk}", envelopes.key_id_of(sealed)
            if hung_on == envelopes.key_ids()[0] and not new_data_keys:
                yield Rotated(slug, Fate.KEPT, hung_on)
                continue
            try:
                about = _about(factor.user_id)
                renewed = (
                    envelopes.seal(unseal(sealed), about)
                    if new_data_keys
                    else envelopes.rewrap(sealed, about)
                )
            except Misconfigured as error:
                yield Rotated(slug, Fate.UNREADABLE, hung_on, str(error))
                continue
            if not dry_run:
                factor.data[name] = renewed
                factor.save(update_fields=["data"])
                told = {"factor": factor.pk, "from_key_id": hung_on}
                record(Kind.CREDENTIALS_ROTATED, actor=None, data=told)
            yield Rotated(slug, Fate.RENEWED, hung_on)
