"""The processor accounts over REST, without their credentials."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers
from rest_framework.mixins import ListModelMixin

from gateways.models import ProcessorAccount

from .models import Scope
from .scoping import Right, ScopedViewSet


class AccountSerializer(serializers.ModelSerializer[ProcessorAccount]):
    class Meta:
        model = ProcessorAccount
        fields = (
            "slug",
            "processor",
            "mode",
            "currency",
            "is_active",
            "paused_reason",
            "held_reason",
        )
        read_only_fields = fields


class AccountViewSet(ListModelMixin, ScopedViewSet[ProcessorAccount]):
    queryset = ProcessorAccount.objects.all()
    serializer_class = AccountSerializer
    account_field = "pk"
    rights: ClassVar[dict[str, Right]] = {
        "list": Right("gateways.view_processoraccount", Scope.READ)
    }
