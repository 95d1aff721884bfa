"""From where a change is made: the request that is being answered in this thread, if one is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class Origin:
    """``address`` is an IP address; both are empty where nobody asked: tasks and commands."""

    address: str = ""
    request_id: str = ""


_NOWHERE = Origin()
_origin: ContextVar[Origin] = ContextVar("audit_origin", default=_NOWHERE)


def origin() -> Origin:
    return _origin.get()


@contextmanager
def from_request(request: HttpRequest, request_id: str) -> Iterator[None]:
    """Entries that are recorded meanwhile say that this request caused them."""
    token = _origin.set(Origin(address_of(request), request_id))
    try:
        yield
    finally:
        _origin.reset(token)


def address_of(request: HttpRequest) -> str:
    """The IP address of the caller, or empty behind a socket that has none.

    By X-Forwarded-For where ``TRUSTED_PROXY_COUNT`` says how many who may be believed write to it.
    """
    proxies: int = settings.TRUSTED_PROXY_COUNT
    hops = request.headers.get("X-Forwarded-For", "").split(",")
    told = hops[-proxies].strip() if proxies and len(hops) >= proxies else ""
    for text in (told, request.META.get("REMOTE_ADDR", "")):
        with suppress(ValueError):
            return str(ipaddress.ip_address(text))
    return ""
