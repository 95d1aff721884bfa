"""What the log says of requests, and in which form."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from structlog.testing import capture_logs

from refunds_site.logs import RequestLogMiddleware


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/webhooks/stripe/%00/", r"/webhooks/stripe/\x00/"),
        ("/a%0d%0ab%1b[31m/", r"/a\r\nb\x1b[31m/"),
        ("/a%C2%85%E2%80%A8b/", r"/a\x85\u2028b/"),
        ("/rückgabe und mehr/", "/rückgabe und mehr/"),
    ],
)
def test_a_path_is_logged_without_control_characters(path, logged):
    with capture_logs() as lines:
        RequestLogMiddleware(lambda _request: HttpResponse())(RequestFactory().get(path))
    assert [line["path"] for line in lines] == [logged]
