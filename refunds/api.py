"""Refunds over REST, and what they add to transactions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.db.models import F, Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

import transactions.api
from access.models import Scope
from access.scoping import Right, ScopedViewSet
from access.step_up import ProofNeeded, ensure_proven, lacks_proof
from gateways.card_numbers import holds_card_number
from gateways.money import Money
from transactions.models import Transaction
from transactions.serializers import StrictSerializer

from . import approvals, cases, rulings, services, story
from .deciding import decision_of
from .filters import AttentionFilter, RefundableTransactionFilter, RefundFilter
from .models import Attention, Refund, RefundAttempt, Ruling, Verdict
from .rules import is_beyond_own_word
from .serializers import (
    AcceptSerializer,
    ApprovalSerializer,
    ApproveSerializer,
    CaseDetailSerializer,
    CaseSerializer,
    NewRefundSerializer,
    NewRulingSerializer,
    NothingSerializer,
    RefundableTransactionSerializer,
    RefundSerializer,
    RejectSerializer,
)
from .states import Origin

_KEY = re.compile(r"[\x20-\x7e]{1,255}")

# What is shown of a refund, in three queries however many there are.
_REFUNDS = Refund.objects.select_related(
    "account", "requested_by", "approved_by", "made_as", "retried_as"
).prefetch_related(
    Prefetch("attempts", queryset=RefundAttempt.objects.defer("exchanges", "order")),
    Prefetch(
        "rulings",
        queryset=Ruling.objects.select_related("attempt", "proposed_by", "decided_by").defer(
            "attempt__exchanges", "attempt__order"
        ),
    ),
)


_RULING = OpenApiParameter("ruling", int, OpenApiParameter.PATH)
# Names of arguments, where the API has its own.
_RULING_FIELDS = {"processor_refund_id": "provider_refund_id"}


class Conflict(exceptions.APIException):
    """The state of things does not allow it; ``members`` go into the problem document."""

    status_code = HTTPStatus.CONFLICT
    default_code = "conflict"

    def __init__(self, detail: str, code: str | None = None, **members: str) -> None:
        super().__init__(detail, code)
        self.members = members


@contextmanager
def refusals_as_http() -> Iterator[None]:
    """Turn what services, rulings and cases refuse into 400, 403 and 409."""
    try:
        yield
    except services.NotAllowed as error:
        raise exceptions.PermissionDenied(str(error)) from None
    except services.RequestConflict as error:
        raise Conflict(str(error), "idempotency_key_reused") from None
    except services.WrongStatus as error:
        raise Conflict(str(error), "wrong_status") from None
    except rulings.InvalidRuling as error:
        field = _RULING_FIELDS.get(error.field, error.field)
        raise exceptions.ValidationError({field: [str(error)]}) from None
    except services.RefundRefused as error:
        if error.code == "invalid_amount":
            raise exceptions.ValidationError({"amount": [str(error)]}) from None
        raise Conflict(str(error), error.code, refundable=error.refundable.major()) from None


class RefundableTransactionViewSet(transactions.api.TransactionViewSet):
    filterset_class = RefundableTransactionFilter
    detail_serializer_class = RefundableTransactionSerializer
    rights: ClassVar[dict[str, Right]] = {
        **transactions.api.TransactionViewSet.rights,
        "refunds": Right("refunds.request_refund", Scope.REFUND),
    }

    def get_queryset(self) -> QuerySet[Transaction]:
        rows = super().get_queryset()
        if self.action == "retrieve":
            refunds = Prefetch("refunds", queryset=_REFUNDS.order_by("-created_at", "-pk"))
            return rows.prefetch_related(refunds)
        return rows

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
                OpenApiParameter.HEADER,
                required=True,
                description="The same key with the same body returns the same refund again.",
            )
        ],
        request=NewRefundSerializer,
        responses={HTTPStatus.ACCEPTED: RefundSerializer, HTTPStatus.OK: RefundSerializer},
    )
    @action(detail=True, methods=["post"])
    def refunds(self, request: Request, **_kwargs: Any) -> Response:
        """Refund all or a part: 202 when it was queued, 200 when this request was made before."""
        transaction = self.get_object()
        key = _read_key(request)
        asked = NewRefundSerializer(data=request.data, context={"currency": transaction.currency})
        asked.is_valid(raise_exception=True)
        _ensure_proven(request, transaction, asked.validated_data["amount"])
        with refusals_as_http():
            refund, created = services.request_refund(
                transaction=transaction,
                requested_by=cast(User, request.user),
                origin=Origin.API,
                idempotency_key=key,
                **asked.validated_data,
            )
        status = HTTPStatus.ACCEPTED if created else HTTPStatus.OK
        return Response(_serialize(refund), status)


class RefundViewSet(ListModelMixin, RetrieveModelMixin, ScopedViewSet[Refund]):
    lookup_value_converter = "uuid"
    queryset = _REFUNDS
    filterset_class = RefundFilter
    serializer_class = RefundSerializer
    rights: ClassVar[dict[str, Right]] = {
        "list": Right("refunds.view_refund", Scope.READ),
        "retrieve": Right("refunds.view_refund", Scope.READ),
        # Who may cancel depends on whose refund it is: the service says.
        "cancel": Right("refunds.view_refund", Scope.REFUND),
        "retry": Right("refunds.request_refund", Scope.REFUND),
        "approval": Right("refunds.view_refund", Scope.READ),
        "approve": Right("refunds.approve_refund", Scope.APPROVE, proven=True),
        "reject": Right("refunds.approve_refund", Scope.APPROVE),
        # Either of two rights will do, and who proposed may withdraw: the service says.
        "check": Right("refunds.view_refund", Scope.REFUND),
        "propose_ruling": Right("refunds.view_ruling", Scope.REFUND, proven=True),
        "reject_ruling": Right("refunds.view_ruling", Scope.REFUND),
        "confirm_ruling": Right("refunds.approve_refund", Scope.APPROVE, proven=True),
    }

    @extend_schema(request=None, responses=RefundSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **_kwargs: Any) -> Response:
        """Call a refund off before it has left."""
        return self._perform(request, services.cancel_refund)

    @extend_schema(request=None, responses=RefundSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **_kwargs: Any) -> Response:
        """Try a failed or canceled refund again: the answer is the new refund.

        One that is queued is tried at once.
        """
        refund = self.get_object()
        _ensure_proven(request, refund.transaction, refund.amount)
        return self._perform(request, partial(services.retry_refund, origin=Origin.API))

    @extend_schema(request=None, responses=RefundSerializer)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, **_kwargs: Any) -> Response:
        """Ask the processor now what became of a refund without a proven outcome."""
        return self._perform(request, services.check_refund)

    @extend_schema(request=None, responses=ApprovalSerializer)
    @action(detail=True, methods=["get"])
    def approval(self, request: Request, **_kwargs: Any) -> Response:
        """What there is to decide about a refund that awaits approval; 409 once it does not."""
        found = story.load(Refund.objects.filter(pk=self.get_object().pk))
        refund = found.select_related("transaction").get()
        decision = decision_of(refund, cast(User, request.user))
        if decision is None:
            raise Conflict(_("This refund does not await approval."), "wrong_status")
        return Response(ApprovalSerializer(decision).data)

    @extend_schema(request=ApproveSerializer, responses=RefundSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, **_kwargs: Any) -> Response:
        """Let a refund that awaits approval go out: with ``seen`` only as it was shown."""
        return self._perform(request, approvals.approve_refund, ApproveSerializer)

    @extend_schema(request=RejectSerializer, responses=RefundSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, **_kwargs: Any) -> Response:
        """Refuse a refund that awaits approval."""
        return self._perform(request, approvals.reject_refund, RejectSerializer)

    @extend_schema(request=NewRulingSerializer, responses={HTTPStatus.CREATED: RefundSerializer})
    @action(detail=True, methods=["post"], url_path="rulings")
    def propose_ruling(self, request: Request, **_kwargs: Any) -> Response:
        """Say what became of an unknown refund; another person has to confirm it."""
        refund = self.get_object()
        said = NewRulingSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        with refusals_as_http():
            rulings.propose(
                refund,
                verdict=Verdict(said.validated_data["verdict"]),
                evidence=said.validated_data["evidence"],
                processor_refund_id=said.validated_data["provider_refund_id"],
                actor=cast(User, request.user),
            )
        return Response(_serialize(refund), HTTPStatus.CREATED)

    @extend_schema(request=None, responses=RefundSerializer, parameters=[_RULING])
    @action(detail=True, methods=["post"], url_path="rulings/<int:ruling>/confirm")
    def confirm_ruling(self, request: Request, ruling: int, **_kwargs: Any) -> Response:
        """Let a ruling of somebody else count."""
        return self._decide(request, ruling, rulings.confirm)

    @extend_schema(request=None, responses=RefundSerializer, parameters=[_RULING])
    @action(detail=True, methods=["post"], url_path="rulings/<int:ruling>/reject")
    def reject_ruling(self, request: Request, ruling: int, **_kwargs: Any) -> Response:
        """Close a ruling without effect, or withdraw one's own."""
        return self._decide(request, ruling, rulings.reject)

    def _decide(self, request: Request, ruling: int, service: Callable[..., Refund]) -> Response:
        refund = self.get_object()
        found = get_object_or_404(Ruling, refund=refund, pk=ruling)
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        with refusals_as_http():
            service(found, actor=request.user)
        return Response(_serialize(refund))

    def _perform(
        self,
        request: Request,
        service: Callable[..., Refund],
        said_by: type[StrictSerializer] = NothingSerializer,
    ) -> Response:
        refund = self.get_object()
        said = said_by(data=request.data)
        said.is_valid(raise_exception=True)
        with refusals_as_http():
            refund = service(refund, actor=request.user, **said.validated_data)
        return Response(_serialize(refund))


class AttentionViewSet(ListModelMixin, RetrieveModelMixin, ScopedViewSet[Attention]):
    """What needs a person: the list has the open cases, an address also a closed one."""

    lookup_value_converter = "int"
    queryset = Attention.objects.select_related("account", "owner", "closed_by")
    filterset_class = AttentionFilter
    ordering = "created_at"  # oldest first
    rights: ClassVar[dict[str, Right]] = {
        "list": Right("refunds.view_attention", Scope.READ),
        "retrieve": Right("refunds.view_attention", Scope.READ),
        # Who may depends on the case and its owner: cases says.
        "take": Right("refunds.view_attention", Scope.REFUND),
        "accept": Right("refunds.view_attention", Scope.APPROVE),
        "count_as_ours": Right("refunds.view_attention", Scope.APPROVE, proven=True),
        "let_go": Right("refunds.view_attention", Scope.APPROVE, proven=True),
    }

    def get_queryset(self) -> QuerySet[Attention]:
        rows = super().get_queryset()
        if self.action == "list":
            return rows.filter(closed_at__isnull=True).annotate(created_at=F("raised_at"))
        return rows.select_related("refund__account")

    def get_serializer_class(self) -> type[CaseSerializer]:
        return CaseSerializer if self.action == "list" else CaseDetailSerializer

    @extend_schema(request=None, responses=CaseDetailSerializer)
    @action(detail=True, methods=["post"])
    def take(self, request: Request, **_kwargs: Any) -> Response:
        """Become the owner."""
        return self._press(request, cases.take)

    @extend_schema(request=None, responses=CaseDetailSerializer)
    @action(detail=True, methods=["post"])
    def let_go(self, request: Request, **_kwargs: Any) -> Response:
        """Send the refund that waits, as the second person: what is listed is another one."""
        return self._press(request, cases.let_go)

    @extend_schema(request=AcceptSerializer, responses=CaseDetailSerializer)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, **_kwargs: Any) -> Response:
        """Close a case because somebody looked at it. What only proof answers is a 409."""
        if cases.may_let_go(self.get_object()):
            ensure_proven(request)
        return self._close(request, cases.accept)

    @extend_schema(request=AcceptSerializer, responses=CaseDetailSerializer)
    @action(detail=True, methods=["post"])
    def count_as_ours(self, request: Request, **_kwargs: Any) -> Response:
        """Close a case because what was made outside is a refund of ours that counted as not made.

        Nothing more goes out for that one.
        """
        return self._close(request, cases.count_as_ours)

    def _press(self, request: Request, act: Callable[[Attention, User], Attention]) -> Response:
        case = self.get_object()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        with refusals_as_http():
            act(case, cast(User, request.user))
        return self._answer(case)

    def _close(
        self, request: Request, close: Callable[[Attention, User, str], Attention]
    ) -> Response:
        case = self.get_object()
        said = AcceptSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        with refusals_as_http():
            close(case, cast(User, request.user), said.validated_data["note"])
        return self._answer(case)

    def _answer(self, case: Attention) -> Response:
        now = self.get_queryset().get(pk=case.pk)
        return Response(self.get_serializer(now).data)


def _ensure_proven(request: Request, transaction: Transaction, amount: Money) -> None:
    """As the dialog: a session proves who it is for more than its person may give back alone."""
    person = cast(User, request.user)
    if lacks_proof(request) and is_beyond_own_word(transaction, amount, person):
        raise ProofNeeded


def _read_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "").strip()
    if not _KEY.fullmatch(key):
        sentence = _(
            "Send a header Idempotency-Key of 1 to 255 printable ASCII characters: the same key "
            "for every repetition of one refund, another for the next refund."
        )
        raise exceptions.ValidationError({"Idempotency-Key": [sentence]})
    # Keys made at random have letters, and now and then what would pass for a card number.
    if not re.search("[A-Za-z]", key) and holds_card_number(key):
        sentence = _("This looks like a card number. Use another key: it is kept with the refund.")
        raise exceptions.ValidationError({"Idempotency-Key": [sentence]})
    return key


def _serialize(refund: Refund) -> dict[str, Any]:
    """The refund as it is now, with everything that is shown of it."""
    return RefundSerializer(_REFUNDS.get(pk=refund.pk)).data
