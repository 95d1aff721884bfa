"""Limits become rules: of several kinds, for a role or a person, and asked again before sending.

What was approved, and what it was approved with, cannot change until it has left.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

_TEMPLATE = """
CREATE OR REPLACE FUNCTION refund_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  given_free boolean := false;
BEGIN
  IF OLD.status = 'succeeded' AND NEW.status = 'returned' AND NEW.processor_refund_id IS NULL THEN
    given_free := EXISTS (SELECT FROM refunds_ruling r
      WHERE r.refund_id = NEW.id AND r.confirmed AND r.verdict = 'did_not');
  END IF;
  IF (NEW.id, NEW.amount_minor, NEW.transaction_id, NEW.currency, NEW.mode, NEW.account_id,
      NEW.origin, NEW.idem_scope, NEW.idem_key, NEW.request_hash, NEW.requested_by_id,
      NEW.retry_of_id, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.amount_minor, OLD.transaction_id, OLD.currency, OLD.mode, OLD.account_id,
      OLD.origin, OLD.idem_scope, OLD.idem_key, OLD.request_hash, OLD.requested_by_id,
      OLD.retry_of_id, OLD.created_at)
     OR NEW.fence < OLD.fence
     OR (OLD.processor_refund_id IS NOT NULL
         AND NEW.processor_refund_id IS DISTINCT FROM OLD.processor_refund_id
         AND NOT given_free)/* APPROVAL */
  THEN
    RAISE EXCEPTION 'refund %: a field that never changes was changed', OLD.id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'refund_guard';
  END IF;
  IF NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) <> ALL (ARRAY[
      'awaiting_approval>queued', 'awaiting_approval>canceled',
      'queued>sending', 'queued>canceled',/* EDGE */
      'sending>pending', 'sending>succeeded', 'sending>failed', 'sending>unknown', 'sending>queued',
      'unknown>sending', 'unknown>queued', 'unknown>pending', 'unknown>succeeded', 'unknown>failed',
      'pending>succeeded', 'pending>failed',
      'succeeded>returned', 'failed>succeeded'])
  THEN
    RAISE EXCEPTION 'refund %: no edge from % to %', OLD.id, OLD.status, NEW.status
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'refund_guard';
  END IF;
  RETURN NEW;
END $$;
"""
_NEVER_ASKED = "\n     OR NEW.needs_approval IS DISTINCT FROM OLD.needs_approval"
# Approved once it stays approved by the same person, unless it has to wait for another one; and
# what they read cannot change before it has left.
_APPROVAL = """
     OR (NEW.needs_approval <> OLD.needs_approval
         AND (OLD.status, NEW.status) IS DISTINCT FROM ('queued', 'awaiting_approval'))
     OR (OLD.approved_by_id IS NOT NULL
         AND NEW.approved_by_id IS DISTINCT FROM OLD.approved_by_id
         AND (OLD.status, NEW.status) IS DISTINCT FROM ('queued', 'awaiting_approval'))
     OR (OLD.status IN ('awaiting_approval', 'queued')
         AND (NEW.reason_id, NEW.note, NEW.words)
             IS DISTINCT FROM (OLD.reason_id, OLD.note, OLD.words))"""
_GUARD = _TEMPLATE.replace("/* APPROVAL */", _APPROVAL).replace(
    "/* EDGE */", " 'queued>awaiting_approval',"
)
_GUARD_BEFORE = _TEMPLATE.replace("/* APPROVAL */", _NEVER_ASKED)

# Two accounts with one e-mail address are one person (refunds/people.py).
_TWO_PEOPLE = """
CREATE FUNCTION check_approver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM auth_user a, auth_user r
             WHERE a.id = NEW.approved_by_id AND r.id = NEW.requested_by_id
               AND trim(a.email) <> '' AND lower(trim(a.email)) = lower(trim(r.email)))
  THEN
    RAISE EXCEPTION 'refund %: who approves it is who asked for it', NEW.id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'approver_is_another_person';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approver_is_another_person BEFORE INSERT OR UPDATE OF approved_by_id
  ON refunds_refund FOR EACH ROW WHEN (NEW.approved_by_id IS NOT NULL)
  EXECUTE FUNCTION check_approver();
"""
_ONE_PERSON = """
DROP TRIGGER approver_is_another_person ON refunds_refund;
DROP FUNCTION check_approver();
"""
_KINDS = [('payment', 'Amount of one payment'), ('day', 'Amount of one person in a day'), ('approving', 'Amount that one person approves'), ('age', 'Days since the payment'), ('soon', 'Minutes since the payment'), ('tries', 'Earlier tries'), ('customer', 'Refunds of one customer in 30 days'), ('card', 'Refunds to one card in 30 days'), ('own_customer', 'Refunds of one customer by one person in 90 days'), ('risky', 'Disputes of the customer in a year'), ('unusual', 'Multiple of what the person usually gives back')]
_MONEY = ['approving', 'day', 'payment']


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('gateways', '0003_fees_and_arrival'),
        ('refunds', '0016_unapproved'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RenameModel('ApprovalLimit', 'ApprovalRule'),
        migrations.AlterModelOptions(
            name='approvalrule',
            options={'default_permissions': ('add', 'view'), 'ordering': ['-pk'], 'verbose_name': 'approval rule', 'verbose_name_plural': 'approval rules'},
        ),
        migrations.RemoveIndex(model_name='approvalrule', name='limit_in_force'),
        migrations.RemoveConstraint(model_name='approvalrule', name='approval_limit_is_an_amount'),
        migrations.RenameField('approvalrule', 'above_minor', 'value'),
        migrations.AddField(
            model_name='approvalrule', name='kind',
            field=models.CharField(choices=_KINDS, db_default='payment', default='payment', max_length=20, verbose_name='what'),
        ),
        migrations.AlterField(
            model_name='approvalrule', name='account',
            field=models.ForeignKey(blank=True, help_text='Empty: every account that has no rule of its own.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='gateways.processoraccount', verbose_name='account'),
        ),
        migrations.AlterField(
            model_name='approvalrule', name='currency',
            field=models.CharField(blank=True, max_length=3, verbose_name='currency'),
        ),
        migrations.AddField(
            model_name='approvalrule', name='person',
            field=models.ForeignKey(blank=True, help_text='One person: goes before the rules of roles.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='person'),
        ),
        migrations.AddField(
            model_name='approvalrule', name='role',
            field=models.ForeignKey(blank=True, help_text='Empty: everybody. Of the rules of several roles the most generous counts.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='auth.group', verbose_name='role'),
        ),
        migrations.AddConstraint(
            model_name='approvalrule',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', [kind for kind, _label in _KINDS])), name='approval_rule_kind_is_known'),
        ),
        migrations.AddConstraint(
            model_name='approvalrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('currency__regex', '^[A-Z]{3}$'), ('kind__in', _MONEY)), models.Q(models.Q(('kind__in', _MONEY), _negated=True), ('currency', '')), _connector='OR'), name='approval_rule_about_money_has_a_currency'),
        ),
        migrations.AddConstraint(
            model_name='approvalrule',
            constraint=models.CheckConstraint(condition=models.Q(('value__isnull', True), ('value__range', (0, 99999999999)), _connector='OR'), name='approval_rule_value_is_in_range'),
        ),
        migrations.AddConstraint(
            model_name='approvalrule',
            constraint=models.CheckConstraint(condition=models.Q(('role__isnull', True), ('person__isnull', True), _connector='OR'), name='approval_rule_is_for_a_role_or_a_person'),
        ),
        migrations.AddIndex(
            model_name='approvalrule',
            index=models.Index(fields=['kind', 'currency', 'account'], name='rule_in_force'),
        ),
        migrations.RunSQL(_GUARD, _GUARD_BEFORE),
        migrations.RunSQL(_TWO_PEOPLE, _ONE_PERSON),
    ]
