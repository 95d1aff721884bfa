"""Where processors post their webhooks: answered at once, and never with anything but the truth."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import UnreadablePostError
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gateways.errors import InvalidWebhook, Misconfigured, NotSent, OutcomeUnknown
from gateways.models import ProcessorAccount

from . import webhooks

MAX_BYTES = 1_000_000


class BodyTooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


class LengthRequired(exceptions.APIException):
    status_code = HTTPStatus.LENGTH_REQUIRED
    default_code = "length_required"


class NotVerified(exceptions.APIException):
    status_code = HTTPStatus.BAD_REQUEST
    default_code = "webhook_not_verified"


class ComeAgain(exceptions.APIException):
    """The processor itself is needed to verify its webhook, and does not answer."""

    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_code = "unavailable"
    wait = 30  # seconds; becomes Retry-After


class WebhookView(APIView):
    """``POST /webhooks/<processor>/<account>/``: 200 once verified, 400 for anything else."""

    authentication_classes = ()
    permission_classes = ()  # the signature is what lets a webhook in
    http_method_names = ("post",)
    schema = None

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)  # whatever it accepts

    def post(self, request: Request, processor: str, slug: str) -> Response:
        account = ProcessorAccount.objects.filter(
            processor=processor, slug=slug, is_active=True
        ).first()
        if account is None:
            raise exceptions.NotFound(_("There is no active account at this address."))
        try:
            webhooks.receive(account, request.headers, _read_body(request))
        except InvalidWebhook:
            raise NotVerified(
                _("This webhook could not be verified. Nothing was changed.")
            ) from None
        except Misconfigured:
            raise NotVerified(
                _("This address is switched off: its account is not set up for webhooks.")
            ) from None
        except (NotSent, OutcomeUnknown) as error:
            raise ComeAgain(
                _("The processor did not answer while this webhook was verified. Send it again.")
            ) from error
        return Response({"received": True})


def _read_body(request: Request) -> bytes:
    """The body as it came, whatever its encoding says: only these bytes were signed."""
    if not request.headers.get("Content-Length") and "Transfer-Encoding" in request.headers:
        raise LengthRequired(_("Send the webhook whole, with its Content-Length."))
    try:
        body: bytes = request.body
    except RequestDataTooBig:
        raise _too_large() from None
    except (UnreadablePostError, ValueError) as error:  # a Content-Length that is no number
        raise exceptions.ParseError(_("The body ended before its Content-Length.")) from error
    if len(body) > MAX_BYTES:
        raise _too_large()
    return body


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(_("The body is larger than 1 MB."))
