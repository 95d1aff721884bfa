"""What a processor lists and may be ours, as only a person can tell."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('refunds', '0012_bulk'),
        ('transactions', '0007_twins_by_time'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Doubt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('amount_minor', models.BigIntegerField()),
                ('external_id', models.CharField(max_length=100)),
                ('found_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('answer', models.CharField(blank=True, choices=[('another', 'Another refund'), ('ours', 'Ours'), ('failed', 'It failed')], max_length=10)),
                ('answered_at', models.DateTimeField(null=True)),
                ('answered_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('transaction', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='doubts', to='transactions.transaction')),
            ],
            options={
                'verbose_name': 'doubt',
                'verbose_name_plural': 'doubts',
                'default_permissions': (),
                'indexes': [models.Index(fields=['external_id'], name='doubt_by_id')],
                'constraints': [models.UniqueConstraint(fields=('transaction', 'amount_minor', 'external_id'), name='doubt_is_raised_once'), models.CheckConstraint(condition=models.Q(models.Q(('answer', ''), ('answered_at__isnull', True), ('answered_by__isnull', True)), models.Q(('answer__in', ['ours', 'another']), ('answered_by__isnull', False)), models.Q(('answer', 'failed'), ('answered_by__isnull', True)), _connector='OR'), name='doubt_is_answered_by_a_person_or_the_processor')],
            },
        ),
    ]
