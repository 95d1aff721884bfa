"""Every error of the API as a problem document (RFC 9457), also where no view was found."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views import defaults
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from .refused_calls import record_refused_call

PROBLEM_TYPE = "application/problem+json"
# Where programs ask, and get no pages.
_MACHINES = ("/api/", "/webhooks/")

log = structlog.get_logger(__name__)


class Unavailable(exceptions.APIException):
    """The database cannot be reached, or somebody keeps a row locked for too long."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "unavailable"
    wait = 5  # seconds; becomes Retry-After


class BodyTooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an exception as a problem document (RFC 9457), whatever the client accepts.

    An exception with a mapping ``members`` adds those to the document. None for what is our own
    mistake: that becomes a 500 through :func:`server_error`.
    """
    error = _from_django(error)
    response = exception_handler(error, context)
    if response is None or not isinstance(error, exceptions.APIException):
        return None
    response.data = _describe(error) | dict(getattr(error, "members", {}))
    response.content_type = PROBLEM_TYPE
    request = context["request"]
    record_refused_call(request, context["view"], response.data)
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), PROBLEM_TYPE
    return response


def _from_django(error: Exception) -> Exception:
    if isinstance(error, Http404):
        # Its own words name models, to whoever guesses at ids.
        return exceptions.NotFound(
            _("It is not there, or it belongs to an account that you do not see.")
        )
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied(*error.args)
    if isinstance(error, RequestDataTooBig):
        return BodyTooLarge(_("The body is larger than 2 MB."))
    if isinstance(error, OperationalError | InterfaceError):
        log.error("database_unavailable", error=str(error))
        return Unavailable(
            _(
                "Refund Desk cannot answer for a moment. Send the same request again, with the "
                "same Idempotency-Key: whether it was done is not known."
            )
        )
    return error


def _describe(error: exceptions.APIException) -> dict[str, Any]:
    if not isinstance(error, exceptions.ValidationError):
        code = getattr(error.detail, "code", error.default_code)
        return problem(error.status_code, str(error.detail), code=code)
    errors = error.detail if isinstance(error.detail, dict) else {"": error.detail}
    general = [str(line) for name in ("", "non_field_errors") for line in errors.pop(name, [])]
    if errors:
        general.append(
            ngettext("This field is not right: %s.", "These fields are not right: %s.", len(errors))
            % ", ".join(errors)
        )
    document = problem(error.status_code, " ".join(general), code="invalid")
    return document | ({"errors": errors} if errors else {})


def problem(status: int, detail: str, *, code: str) -> dict[str, Any]:
    """A problem document; ``code`` is what programs compare, ``detail`` the sentence for people."""
    return {
        "type": f"urn:refund-desk:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
    }


class UnknownAddress(APIView):
    """What is no address under ``/api/`` and ``/webhooks/``: a problem document, not a page."""

    permission_classes = ()
    schema = None

    def initial(self, request: Request, *_args: Any, **_kwargs: Any) -> None:
        if request.path.endswith("/"):
            raise exceptions.NotFound(_("There is nothing at this address."))
        raise exceptions.NotFound(
            _("There is nothing at this address. Addresses end with a slash.")
        )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own 400, such as a wrong host, before any view was found."""
    if not request.path.startswith(_MACHINES):
        return defaults.bad_request(request, exception)
    return _refuse(HTTPStatus.BAD_REQUEST, _("The request cannot be read."), "bad_request")


def server_error(request: HttpRequest) -> HttpResponse:
    if not request.path.startswith(_MACHINES):
        return defaults.server_error(request)
    sentence = _("Something went wrong on our side. It has been logged; nothing is lost.")
    return _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, sentence, "server_error")


def _refuse(status: HTTPStatus, sentence: str, code: str) -> JsonResponse:
    return JsonResponse(
        problem(status, sentence, code=code), status=status, content_type=PROBLEM_TYPE
    )


def describe_problems(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Say in the schema that every call may answer with a problem document (drf-spectacular)."""
    text = {"type": "string"}
    result["components"]["schemas"]["Problem"] = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": text | {"format": "uri"},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "errors": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": text},
                "description": "Sentences for each field that is not right.",
            },
            "refundable": text | {"description": "What can be refunded now, where that matters."},
        },
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    problem = {"description": "A problem.", "content": {PROBLEM_TYPE: {"schema": schema}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = problem
    return result
