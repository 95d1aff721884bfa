"""Customers that can be searched, marked and merged; payments that may be twins; exchanges."""

import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gateways', '0003_fees_and_arrival'),
        ('transactions', '0005_exports'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Exchange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('linked_at', models.DateTimeField(auto_now_add=True, verbose_name='linked at')),
            ],
            options={
                'verbose_name': 'exchange',
                'verbose_name_plural': 'exchanges',
                'default_permissions': ('add', 'delete'),
            },
        ),
        migrations.AlterModelOptions(
            name='customer',
            options={'permissions': [('merge_customer', 'Can merge customers, and part them again')], 'verbose_name': 'customer', 'verbose_name_plural': 'customers'},
        ),
        migrations.AddField(
            model_name='customer',
            name='is_vip',
            field=models.BooleanField(db_default=False, default=False, verbose_name='VIP'),
        ),
        migrations.AddField(
            model_name='customer',
            name='merged_into',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='absorbed', to='transactions.customer'),
        ),
        migrations.AddField(
            model_name='transaction',
            name='has_twin',
            field=models.BooleanField(db_default=False, default=False, verbose_name='has a twin'),
        ),
        migrations.AddField(
            model_name='customer',
            name='search_text',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Lower(django.db.models.functions.text.Concat('email', models.Value(' '), 'name')), output_field=models.TextField()),
        ),
        migrations.AddIndex(
            model_name='customer',
            index=models.Index(condition=models.Q(('merged_into__isnull', True)), fields=['-created_at', '-id'], name='customer_newest'),
        ),
        migrations.AddIndex(
            model_name='customer',
            index=django.contrib.postgres.indexes.GinIndex(django.contrib.postgres.indexes.OpClass('search_text', 'gin_trgm_ops'), name='customer_search'),
        ),
        migrations.AddConstraint(
            model_name='customer',
            constraint=models.CheckConstraint(condition=models.Q(('merged_into', models.F('id')), _negated=True), name='customer_is_not_merged_into_itself'),
        ),
        migrations.AddField(
            model_name='exchange',
            name='linked_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='exchange',
            name='original',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exchanged_for', to='transactions.transaction'),
        ),
        migrations.AddField(
            model_name='exchange',
            name='replacement',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exchanged_from', to='transactions.transaction'),
        ),
        migrations.AddConstraint(
            model_name='exchange',
            constraint=models.UniqueConstraint(fields=('original', 'replacement'), name='exchange_is_linked_once'),
        ),
        migrations.AddConstraint(
            model_name='exchange',
            constraint=models.CheckConstraint(condition=models.Q(('original', models.F('replacement')), _negated=True), name='exchange_is_for_another_payment'),
        ),
    ]
