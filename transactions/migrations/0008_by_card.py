"""Payments are found by the brand and the last four digits of their card."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):

    dependencies = [
        ('transactions', '0007_twins_by_time'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=~Q(last4=''), fields=['last4', 'brand'], name='transaction_by_card'),
        ),
    ]
