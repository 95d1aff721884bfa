"""Campaigns and their payments."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('refunds', '0012_bulk'),
        ('transactions', '0007_twins_by_time'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Campaign',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, verbose_name='name')),
                ('query', models.CharField(blank=True, max_length=2000)),
                ('percent', models.PositiveSmallIntegerField(default=100, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(100)], verbose_name='percent')),
                ('note', models.TextField(blank=True, verbose_name='internal note')),
                ('words', models.TextField(blank=True, verbose_name='words for the customer')),
                ('most_refunds', models.PositiveIntegerField(verbose_name='at most so many refunds')),
                ('most_money', models.BigIntegerField(verbose_name='at most so much of each currency')),
                ('state', models.CharField(choices=[('preparing', 'Dry run under way'), ('ready', 'Waits for a second person'), ('running', 'Running'), ('paused', 'Paused'), ('finished', 'Finished'), ('canceled', 'Canceled')], default='preparing', max_length=10, verbose_name='state')),
                ('is_settled', models.BooleanField(default=False)),
                ('problem', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True, verbose_name='made at')),
                ('started_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('cursor', models.CharField(blank=True, max_length=60)),
                ('lease_until', models.DateTimeField(null=True)),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('reason', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='refunds.refundreason')),
                ('started_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('steered_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'campaign',
                'verbose_name_plural': 'campaigns',
                'default_permissions': ('add', 'view'),
            },
        ),
        migrations.CreateModel(
            name='CampaignItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('named', models.CharField(blank=True, max_length=100)),
                ('typed', models.CharField(blank=True, max_length=30)),
                ('currency', models.CharField(blank=True, max_length=3)),
                ('amount_minor', models.BigIntegerField(default=0)),
                ('left_minor', models.BigIntegerField(default=0)),
                ('state', models.CharField(choices=[('named', 'Not looked at yet'), ('excluded', 'Left out'), ('included', 'To be refunded'), ('asked', 'Asked for'), ('refused', 'Refused'), ('skipped', 'Not asked for')], default='included', max_length=10)),
                ('why', models.CharField(blank=True, max_length=300)),
                ('campaign', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='items', to='campaigns.campaign')),
                ('refund', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='campaign_item', to='refunds.refund')),
                ('transaction', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='transactions.transaction')),
            ],
            options={
                'verbose_name': 'payment of a campaign',
                'verbose_name_plural': 'payments of campaigns',
                'default_permissions': (),
            },
        ),
        migrations.AddIndex(
            model_name='campaign',
            index=models.Index(fields=['-created_at', '-id'], name='campaign_newest'),
        ),
        migrations.AddIndex(
            model_name='campaign',
            index=models.Index(condition=models.Q(('is_settled', False)), fields=['lease_until'], name='campaign_under_way'),
        ),
        migrations.AddConstraint(
            model_name='campaign',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['preparing', 'ready', 'running', 'paused', 'finished', 'canceled'])), name='campaign_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='campaign',
            constraint=models.CheckConstraint(condition=models.Q(('percent__range', (1, 100))), name='campaign_percent_is_one'),
        ),
        migrations.AddConstraint(
            model_name='campaign',
            constraint=models.CheckConstraint(condition=models.Q(('started_by__isnull', True), models.Q(('started_by', models.F('created_by')), _negated=True), _connector='OR'), name='campaign_is_started_by_another_person'),
        ),
        migrations.AddIndex(
            model_name='campaignitem',
            index=models.Index(fields=['campaign', 'state', 'id'], name='campaign_item_by_state'),
        ),
        migrations.AddConstraint(
            model_name='campaignitem',
            constraint=models.UniqueConstraint(fields=('campaign', 'transaction'), name='campaign_has_a_payment_once'),
        ),
        migrations.AddConstraint(
            model_name='campaignitem',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['named', 'excluded', 'included', 'asked', 'refused', 'skipped'])), name='campaign_item_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='campaignitem',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['included', 'asked']), _negated=True), models.Q(('amount_minor__gt', 0), ('transaction__isnull', False)), _connector='OR'), name='campaign_item_has_money_to_give'),
        ),
        migrations.AddConstraint(
            model_name='campaignitem',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('refund__isnull', False), ('state', 'asked')), models.Q(models.Q(('state', 'asked'), _negated=True), ('refund__isnull', True)), _connector='OR'), name='campaign_item_was_asked_with_its_refund'),
        ),
    ]
