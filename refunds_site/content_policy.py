"""What a page may load and run: strict everywhere, looser where a library needs more (docs/adr)."""

from __future__ import annotations

from typing import Any

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

# The colours and the radius that django-unfold writes into each page, as settings give them.
_THEME = "'sha256-0rczasrIgaznED5tzRwJawU8+RMIgvQUHMODLFUScSQ='"
STRICT: dict[str, Any] = {
    "default-src": [NONE],
    "script-src": [SELF, NONCE],
    "style-src": [SELF, NONCE],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
}
# Beginning of the address → what is put in the place of a strict directive there.
EXCEPTIONS: dict[str, dict[str, Any]] = {
    # Alpine.js makes functions of the expressions in django-unfold's markup; htmx and simplebar
    # write styles into elements.
    "/admin/": {
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, _THEME],
        "style-src-attr": [UNSAFE_INLINE],
    },
    # Swagger UI writes styles into its elements.
    "/api/v1/docs/": {"style-src": [SELF, UNSAFE_INLINE]},
}


class ContentPolicyMiddleware(CSPMiddleware):
    """The strict policy with the exceptions of the address."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        for start, directives in EXCEPTIONS.items():
            if request.path_info.startswith(start):
                parts.replace = directives | (parts.replace or {})
        return parts
