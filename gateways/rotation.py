"""Moves the credentials of all accounts to the first of CREDENTIALS_KEYS, beside the traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction as database

from audit.kinds import Kind
from audit.log import record, take_turn

from . import envelopes
from .credentials import hangs_on_first_key, key_id_of, renewed
from .errors import Misconfigured
from .models import ProcessorAccount


class Fate(StrEnum):
    """What became of an account."""

    KEPT = "kept"
    RENEWED = "renewed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Rotated:
    """One account, the key that its credentials hung on before, and what is wrong with them."""

    slug: str
    fate: Fate
    key_id: str = ""
    problem: str = ""


def rotate_all(*, new_data_keys: bool = False, dry_run: bool = False) -> Iterator[Rotated]:
    """Renew one account after the other, each in a commit of its own.

    Killed at any point it is run again as it was: what hangs on the first key is kept as it is.
    """
    for key in list(ProcessorAccount.objects.order_by("pk").values_list("pk", flat=True)):
        yield _rotate(key, new_data_keys=new_data_keys, dry_run=dry_run)


def keys_in_use() -> Counter[str]:
    """How many accounts hang on which key."""
    # No other column: a migration that adds one has this asked before it runs.
    accounts = ProcessorAccount.objects.only("encrypted_credentials")
    stored = accounts.exclude(encrypted_credentials="")
    return Counter(_readable_key_id(account) for account in stored)


def _rotate(key: int, *, new_data_keys: bool, dry_run: bool) -> Rotated:
    with database.atomic():
        take_turn()
        # NO KEY: rows that point at it, such as payments, are written meanwhile.
        account = ProcessorAccount.objects.select_for_update(no_key=True).get(pk=key)
        hung_on = _readable_key_id(account)
        try:
            if not account.encrypted_credentials:
                return Rotated(account.slug, Fate.KEPT)
            if hangs_on_first_key(account) and not new_data_keys:
                return Rotated(account.slug, Fate.KEPT, hung_on)
            account.encrypted_credentials = renewed(account, new_data_key=new_data_keys)
        except Misconfigured as error:
            return Rotated(account.slug, Fate.UNREADABLE, hung_on, str(error))
        if not dry_run:
            account.save(update_fields=["encrypted_credentials"])
            _tell(account, hung_on)
        return Rotated(account.slug, Fate.RENEWED, hung_on)


def _tell(account: ProcessorAccount, hung_on: str) -> None:
    record(
        Kind.CREDENTIALS_ROTATED,
        actor=None,
        account_id=account.pk,
        about=account,
        data={"from_key_id": hung_on, "to_key_id": envelopes.key_ids()[0]},
    )


def _readable_key_id(account: ProcessorAccount) -> str:
    try:
        return key_id_of(account)
    except Misconfigured:
        return "unreadable"
