"""Leading people to another page and back, from htmx as well."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme


def follow(request: HttpRequest, address: str) -> HttpResponse:
    """Lead to another page, from htmx as well."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": address})
    return redirect(address)


def with_way_back(request: HttpRequest, address: str, **query: str) -> str:
    """The address, with ``next`` leading back to the page that the request came from."""
    return f"{address}?{urlencode({**query, 'next': page_of(request)})}"


def page_of(request: HttpRequest) -> str:
    """The page in front of somebody: what is asked for, or what a press or a fragment came from."""
    if request.headers.get("HX-Request"):
        came_from = request.headers.get("HX-Current-URL", "")
    elif request.method == "POST":
        came_from = request.headers.get("Referer", "")
    else:
        return request.get_full_path()
    if not is_ours(request, came_from):
        return reverse("admin:index")
    page = urlsplit(came_from)
    return f"{page.path}?{page.query}" if page.query else page.path


def is_ours(request: HttpRequest, address: str) -> bool:
    """Whether an address is one of this site: nobody is led to another one."""
    return url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
