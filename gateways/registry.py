"""How an account in the database becomes a gateway that speaks to its processor."""

from __future__ import annotations

import re
from importlib import import_module
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from .base import Account, PaymentGateway
from .credentials import credentials_of
from .errors import CredentialsMissing, Misconfigured
from .models import Mode, Processor, ProcessorAccount
from .transport import Transport

# Adapters are imported when first used: the SDK behind one of them costs tens of megabytes.
_ADAPTERS = {
    Processor.STRIPE: ("gateways.stripe", "StripeGateway"),
    Processor.PAYPAL: ("gateways.paypal", "PayPalGateway"),
    Processor.AUTHORIZENET: ("gateways.authorizenet", "AuthorizeNetGateway"),
    Processor.NMI: ("gateways.nmi", "NmiGateway"),
}
# The end of a public name, and of names within a network (RFC 6761, 6762, 8375 and ICANN's).
_TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}", re.ASCII)
# Python drops tabs and ends of lines from an address, and browsers take \ for /.
_WRITABLE = re.compile(r"[!-\[\]-~]+", re.ASCII)
_NEAR = {"local", "internal", "localhost", "localdomain", "lan", "home", "corp", "intranet", "arpa"}


def gateway_class(processor: str) -> type[PaymentGateway]:
    """The adapter of a processor. Raises Misconfigured for a name that is none."""
    try:
        module, name = _ADAPTERS[Processor(processor)]
    except ValueError:
        known = ", ".join(Processor.values)
        raise Misconfigured(f"There is no processor {processor!r}. Known are: {known}.") from None
    adapter: type[PaymentGateway] = getattr(import_module(module), name)
    return adapter


def open_gateway(account: ProcessorAccount) -> PaymentGateway:
    """A gateway for the account, ready to call. It refuses to run inside a transaction.

    Raises:
        Misconfigured: a credential is missing or of the other mode, the address is not allowed, or
            the account is live and DEBUG is on.
    """
    if account.mode == Mode.LIVE and settings.DEBUG and not settings.ALLOW_LIVE_WITH_DEBUG:
        raise Misconfigured(
            f"Account {account.slug} is live, and DEBUG is on: a mistake here would move real "
            "money. Unset DEBUG, or set ALLOW_LIVE_WITH_DEBUG=1 if you mean it."
        )
    adapter = gateway_class(account.processor)
    values = credentials_of(account)
    missing = [name for name in adapter.credential_names if not values.get(name)]
    if missing:
        raise CredentialsMissing(
            f"Account {account.slug} lacks {' and '.join(missing)}. Set it with: manage.py account "
            f"add {account.slug} --processor {account.processor} --mode {account.mode} "
            f"--credential {missing[0]}=…",
            missing,
        )
    base_url = account.base_url or adapter.default_base_urls[account.mode]
    check_base_url(base_url, processor=account.processor, mode=account.mode)
    return adapter(
        Account(
            slug=account.slug,
            mode=account.mode,
            base_url=base_url.rstrip("/"),
            credentials=values,
            currency=account.currency,
            webhook_verification=settings.PAYPAL_WEBHOOK_VERIFICATION,
        ),
        Transport(
            secrets=tuple(values.values()),
            total_seconds=settings.PROVIDER_TIMEOUT_SECONDS,
            guard=_refuse_inside_transaction,
            account=account.slug,
            processor=account.processor,
            near_hosts=settings.PROVIDER_TEST_HOSTS,
        ),
    )


def check_base_url(base_url: str, *, processor: str, mode: str) -> None:
    """Refuse an address that credentials must not be sent to.

    The processor's own addresses are always fine. Others are for accounts in mode ``test`` on a
    host named in PROVIDER_TEST_HOSTS, and for NMI resellers (https, a public name).

    Raises:
        Misconfigured: with the sentence that says what to do.
    """
    adapter = gateway_class(processor)
    if base_url.rstrip("/") in {url.rstrip("/") for url in adapter.default_base_urls.values()}:
        if base_url.rstrip("/") != adapter.default_base_urls[mode].rstrip("/"):
            raise Misconfigured(
                f"{base_url} is not the {mode} address of {adapter.label}. Leave the address empty."
            )
        return
    scheme, host = _split_address(base_url)
    if mode == Mode.TEST and host in settings.PROVIDER_TEST_HOSTS:
        return
    if processor == Processor.NMI and scheme == "https" and _is_public_name(host):
        return
    raise Misconfigured(
        f"{base_url} may not be used: only accounts in mode test may name another address, and "
        f"only on a host that the setting PROVIDER_TEST_HOSTS lists."
    )


def _split_address(base_url: str) -> tuple[str, str]:
    """Scheme and host of an address that has nothing but these, a port and a path."""
    try:
        parts = urlsplit(base_url)
        bare = not (parts.username or parts.query or parts.fragment) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        parts, bare = urlsplit(""), False
    is_written = _WRITABLE.fullmatch(base_url) and parts.scheme in {"http", "https"}
    if not (bare and is_written and parts.hostname):
        raise Misconfigured(f"{base_url} is not an address such as https://host/path.")
    return parts.scheme, parts.hostname


def _is_public_name(host: str) -> bool:
    """Whether a name could be one of the internet: its last part is neither a number nor ours."""
    *others, last = host.split(".")
    return bool(others) and all(others) and bool(_TOP_LEVEL.fullmatch(last)) and last not in _NEAR


def _refuse_inside_transaction() -> None:
    if connection.in_atomic_block:
        raise RuntimeError("A processor is never called inside a database transaction.")
