from django.db import migrations

SHIPPED = [
    ("requested_by_customer", "Requested by the customer"),
    ("duplicate", "Charged twice"),
    ("billing_error", "Billing error"),
    ("order_cancelled", "Order cancelled"),
    ("product_returned", "Product returned"),
    ("exchange", "Exchange"),
    ("damaged_or_missing", "Damaged or missing"),
    ("service_issue", "Problem with the service"),
    ("price_adjustment", "Price adjustment"),
    ("missed_discount", "Missed discount"),
    ("goodwill", "Goodwill"),
    ("fraudulent", "Fraudulent payment"),
    ("other", "Other"),
]


def add_reasons(apps, schema_editor):
    reason = apps.get_model("refunds", "RefundReason")
    reason.objects.bulk_create(
        [reason(code=code, label=label, position=n) for n, (code, label) in enumerate(SHIPPED, 1)],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies = [("refunds", "0002_guards")]

    operations = [migrations.RunPython(add_reasons, migrations.RunPython.noop)]
