"""The transactions in a ModelAdmin as Django's documentation would make it, and nothing else."""

from django.contrib import admin
from django.urls import path

from transactions.models import Transaction

stock = admin.AdminSite()


@admin.register(Transaction, site=stock)
class StockAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = (
        "created_at", "customer_name", "account", "brand", "amount_minor", "refund_state", "status",
    )  # fmt: skip
    list_filter = (
        "processor", "account", "refund_state", "status", "disputed", "currency", "brand",
    )  # fmt: skip
    search_fields = ("external_id", "customer_name", "customer_email", "order_reference", "last4")
    date_hierarchy = "created_at"
    list_per_page = 50


urlpatterns = [path("admin/", stock.urls)]
