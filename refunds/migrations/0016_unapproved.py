"""What nobody approves or rejects is put before a person."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('gateways', '0003_fees_and_arrival'),
        ('refunds', '0015_approval_limits'),
        ('transactions', '0007_twins_by_time'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='attention',
            name='attention_kind_is_known',
        ),
        migrations.AlterField(
            model_name='attention',
            name='kind',
            field=models.CharField(choices=[('unknown_outcome', 'Outcome unknown'), ('pending_long', 'Pending for days'), ('not_approved', 'Not approved yet'), ('found_several', 'Perhaps refunded twice'), ('amount_differs', 'Other amount at the processor'), ('over_refunded', 'More went back than was paid'), ('made_outside', 'Refunded outside Refund Desk'), ('returned', 'Refund came back'), ('paid_after_all', 'Counted as not made, but made'), ('missing', 'Not found at the processor'), ('unplaced', 'Refund of an unknown payment'), ('disputed', 'Disputed'), ('not_sent', 'Not sent'), ('stuck', 'Stops its workers'), ('account_paused', 'Account paused'), ('webhook_failed', 'Webhook not processed')], max_length=20, verbose_name='kind'),
        ),
        migrations.AddConstraint(
            model_name='attention',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['unknown_outcome', 'pending_long', 'not_approved', 'found_several', 'amount_differs', 'over_refunded', 'made_outside', 'returned', 'paid_after_all', 'missing', 'unplaced', 'disputed', 'not_sent', 'stuck', 'account_paused', 'webhook_failed'])), name='attention_kind_is_known'),
        ),
    ]
