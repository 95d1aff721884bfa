"""Customers whom people marked as risky: their refunds need a second person."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('transactions', '0011_identity'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='customer',
            options={'permissions': [('merge_customer', 'Can merge customers, and part them again'), ('mark_customer', 'Can mark customers as risky, and take that back'), ('erase_customer', 'Can erase the personal data of customers')], 'verbose_name': 'customer', 'verbose_name_plural': 'customers'},
        ),
        migrations.AddField(
            model_name='customer',
            name='cleared_by',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='customer',
            name='is_risky',
            field=models.BooleanField(db_default=False, default=False, verbose_name='risky'),
        ),
    ]
