"""Transactions and their notes over REST. What concerns refunds is added by ``refunds.api``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from access.models import Scope
from access.scoping import Right, ScopedViewSet

from .filters import TransactionFilter
from .models import Note, Transaction
from .serializers import (
    NewNoteSerializer,
    NoteSerializer,
    TransactionDetailSerializer,
    TransactionSerializer,
)


class TransactionViewSet(ListModelMixin, RetrieveModelMixin, ScopedViewSet[Transaction]):
    lookup_value_converter = "int"
    queryset = Transaction.objects.select_related("account", "customer").defer("search_text")
    filterset_class = TransactionFilter
    detail_serializer_class: ClassVar[type[BaseSerializer[Any]]] = TransactionDetailSerializer
    rights: ClassVar[dict[str, Right]] = {
        "list": Right("transactions.view_transaction", Scope.READ),
        "retrieve": Right("transactions.view_transaction", Scope.READ),
        "notes": Right("transactions.view_transaction", Scope.READ),
        "add_note": Right("transactions.add_note", Scope.WRITE_NOTES),
    }

    def get_queryset(self) -> QuerySet[Transaction]:
        rows = super().get_queryset()
        if self.action == "retrieve":
            notes = Note.objects.select_related("author")
            return rows.prefetch_related(Prefetch("notes", queryset=notes))
        return rows

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return self.detail_serializer_class if self.action == "retrieve" else TransactionSerializer

    @extend_schema(responses=NoteSerializer(many=True), filters=False)
    @action(detail=True)
    def notes(self, request: Request, **_kwargs: Any) -> Response:
        """What staff wrote on the transaction, newest first."""
        rows: Any = self.get_object().notes.select_related("author")
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(NoteSerializer(page, many=True).data)

    @extend_schema(request=NewNoteSerializer, responses={HTTPStatus.CREATED: NoteSerializer})
    @notes.mapping.post
    def add_note(self, request: Request, **_kwargs: Any) -> Response:
        transaction = self.get_object()
        new = NewNoteSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        note = Note.objects.create(
            transaction=transaction,
            author=cast(User, request.user),
            text=new.validated_data["text"],
        )
        return Response(NoteSerializer(note).data, HTTPStatus.CREATED)
