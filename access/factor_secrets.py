"""The secrets of second factors as they rest: sealed, and moved to the first key as the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from allauth.mfa.models import Authenticator
from django.db import transaction as database

from audit.kinds import Kind
from audit.log import record
from gateways import envelopes
from gateways.errors import Misconfigured
from gateways.rotation import Fate, Rotated

_ABOUT = "second factor"
# Of an app, and of recovery codes; passkeys keep no secret here.
_NAMES = ("secret", "seed")


def seal(text: str) -> str:
    return envelopes.seal(text, _ABOUT)


def unseal(sealed: str) -> str:
    """Raises Misconfigured."""
    return envelopes.unseal(sealed, _ABOUT)


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


def _rotate(key: int, *, new_data_keys: bool, dry_run: bool) -> Iterator[Rotated]:
    with database.atomic():
        factor = Authenticator.objects.select_for_update(no_key=True).filter(pk=key).first()
        for name in _NAMES:
            sealed = factor.data.get(name) if factor else None
            if factor is None or sealed is None:
                continue
            slug, hung_on = f"{_ABOUT} {factor.pk}", envelopes.key_id_of(sealed)
            if hung_on == envelopes.key_ids()[0] and not new_data_keys:
                yield Rotated(slug, Fate.KEPT, hung_on)
                continue
            try:
                renewed = (
                    seal(unseal(sealed)) if new_data_keys else envelopes.rewrap(sealed, _ABOUT)
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
