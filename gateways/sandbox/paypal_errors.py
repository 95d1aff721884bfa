"""PayPal's refusals: a name, an issue, and a debug id."""

from __future__ import annotations

from typing import Any

from .http import Reply, json_reply
from .paypal_issues import DESCRIPTIONS

_NAMES = {
    400: (
        "INVALID_REQUEST",
        "Request is not well-formed, syntactically incorrect, or violates schema.",
    ),
    401: (
        "AUTHENTICATION_FAILURE",
        (
            "Authentication failed due to missing authorization header, or invalid "
            "authentication credentials."
        ),
    ),
    403: ("NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    409: ("RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."),
    415: (
        "UNSUPPORTED_MEDIA_TYPE",
        "The server does not support the request payload's media type.",
    ),
    422: (
        "UNPROCESSABLE_ENTITY",
        (
            "The requested action could not be performed, semantically incorrect, or failed "
            "business validation."
        ),
    ),
    429: ("RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error has occurred."),
    503: ("SERVICE_UNAVAILABLE", "Service Unavailable."),
}

# Issues that are not 422.
_STATUS = {
    "MISSING_REQUIRED_PARAMETER": 400,
    "INVALID_PARAMETER_SYNTAX": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "INVALID_STRING_LENGTH": 400,
    "INVALID_STRING_MAX_LENGTH": 400,
    "INVALID_ACCOUNT_STATUS": 401,
    "PERMISSION_DENIED": 403,
    "INVALID_RESOURCE_ID": 404,
    "PREVIOUS_REQUEST_IN_PROGRESS": 409,
    "INTERNAL_SERVER_ERROR": 500,
    "INTERNAL_SERVICE_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
    "RATE_LIMIT_REACHED": 429,
}


class PayPalError(Exception):
    """A refusal in PayPal's words. The issue decides the status, unless it is given."""

    def __init__(
        self,
        issue: str = "",
        *,
        status: int | None = None,
        name: str = "",
        field: str = "",
        description: str = "",
        **more: Any,
    ) -> None:
        self.status = status or _STATUS.get(issue, 422)
        known, message = _NAMES.get(self.status, ("UNKNOWN", "The request was refused."))
        super().__init__(issue or message)
        self.body: dict[str, Any] = {"name": name or known, "message": message, **more}
        if issue:
            said = description or DESCRIPTIONS.get(issue, f"The request was refused: {issue}.")
            place = {"field": field, "location": "body"} if field else {}
            self.body["details"] = [{"issue": issue, "description": said, **place}]

    def reply(self, debug_id: str) -> Reply:
        return json_reply({**self.body, "debug_id": debug_id, "links": []}, self.status)


class OAuthError(Exception):
    """A refusal of the token endpoint, or of a token: 401 with ``error``."""

    def __init__(self, error: str, description: str, *, status: int = 401) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status

    def reply(self) -> Reply:
        return json_reply({"error": self.error, "error_description": self.description}, self.status)
