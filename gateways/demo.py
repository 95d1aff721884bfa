"""The demo's processor accounts: those that the sandbox was born with."""

from __future__ import annotations

import json
from urllib.request import urlopen

from .accounts import change_credentials, save_account
from .models import Mode, ProcessorAccount

# These processors do not name the currency of a payment: the account has one.
_ONE_CURRENCY = {"authorizenet", "nmi"}


def create_accounts(sandbox_url: str) -> list[str]:
    """Add the sandbox's accounts, or bring them up to date; their names.

    Raises:
        OSError: the sandbox does not answer.
    """
    with urlopen(f"{sandbox_url}/_sandbox/", timeout=10) as answer:  # noqa: S310  a local address
        known = json.load(answer)["accounts"]
    slugs = []
    for found in known:
        slug, processor = found["name"], found["dialect"]
        account = ProcessorAccount.objects.filter(slug=slug).first() or ProcessorAccount(
            slug=slug, processor=processor, mode=Mode.TEST
        )
        account.base_url = found["base_url"]
        if processor in _ONE_CURRENCY:
            account.currency = found["currencies"][0]
        change_credentials(account, found["credentials"])
        save_account(account)
        slugs.append(slug)
    return slugs
