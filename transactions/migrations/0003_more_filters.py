"""Indexes behind the filters by currency, amount, brand, method and wallet."""

import django.db.models.expressions
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gateways', '0002_held_reason'),
        ('transactions', '0002_since_when'),
    ]

    atomic = False  # tables of millions of rows stay writable meanwhile

    operations = [
        # The limits of a request are too short for that.
        migrations.RunSQL("SET statement_timeout = 0", "SET statement_timeout = 0"),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['currency', '-created_at', '-id'], name='transaction_by_currency'),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['brand', '-created_at', '-id'], name='transaction_by_brand'),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(condition=models.Q(('method_type', 'card'), _negated=True), fields=['method_type', '-created_at', '-id'], name='transaction_by_method'),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(condition=models.Q(('wallet', ''), _negated=True), fields=['wallet', '-created_at', '-id'], name='transaction_by_wallet'),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(django.db.models.expressions.CombinedExpression(models.F('amount_minor'), '*', models.Case(models.When(currency__in=['BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF', 'XPF'], then=1000), models.When(currency__in=['BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND'], then=1), default=10, output_field=models.BigIntegerField())), name='transaction_by_amount'),
        ),
        migrations.RunSQL("RESET statement_timeout", "RESET statement_timeout"),
    ]
