"""What a browser may do with our pages besides showing them: keep them, share them, use devices.

Django's own middleware sends the rest: Cross-Origin-Opener-Policy, Referrer-Policy, HSTS.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

# Passkeys and the clipboard are used here, and stay as browsers have them.
_NOT_USED = (
    "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "geolocation",
    "gyroscope", "magnetometer", "microphone", "midi", "payment", "serial", "usb",
    "xr-spatial-tracking",
)  # fmt: skip
PERMISSIONS = ", ".join(f"{name}=()" for name in _NOT_USED)


class HeadersMiddleware:
    """Pages and answers of the API stay in no cache; static files, whose names change, may."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers["Permissions-Policy"] = PERMISSIONS
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        is_file = request.path_info.startswith(settings.STATIC_URL)
        if not is_file and "no-store" not in response.headers.get("Cache-Control", ""):
            response.headers["Cache-Control"] = "no-store"
        return response
