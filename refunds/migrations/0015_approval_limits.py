"""Above how much a second person approves; a row never changes, a newer one replaces it."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


GUARD = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON refunds_approvallimit
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
DROP_GUARD = "DROP TRIGGER append_only ON refunds_approvallimit;"


class Migration(migrations.Migration):

    dependencies = [
        ('gateways', '0003_fees_and_arrival'),
        ('refunds', '0014_held'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ApprovalLimit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('currency', models.CharField(max_length=3, verbose_name='currency')),
                ('above_minor', models.BigIntegerField(null=True)),
                ('made_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='since')),
                ('account', models.ForeignKey(blank=True, help_text='Empty: every account that has no limit of its own.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='gateways.processoraccount', verbose_name='account')),
                ('made_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='by')),
            ],
            options={
                'verbose_name': 'approval limit',
                'verbose_name_plural': 'approval limits',
                'ordering': ['-pk'],
                'default_permissions': ('add', 'view'),
                'indexes': [models.Index(fields=['currency', 'account', '-id'], name='limit_in_force')],
                'constraints': [models.CheckConstraint(condition=models.Q(('above_minor__isnull', True), ('above_minor__range', (0, 99999999999)), _connector='OR'), name='approval_limit_is_an_amount')],
            },
        ),
        migrations.RunSQL(GUARD, DROP_GUARD),
    ]
