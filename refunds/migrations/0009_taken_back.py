"""A refund that two people ruled made can be ruled not made, which gives its processor's id free.

The id belonged to another refund, or to none: where that one is reported, it can be written down.
"""

from django.db import migrations, models
from django.db.models import Q

# A condition of its own, because a query in the one below would run at every update.
_TAKE_BACK = """
  IF OLD.status = 'succeeded' AND NEW.status = 'returned' AND NEW.processor_refund_id IS NULL THEN
    given_free := EXISTS (SELECT FROM refunds_ruling r
      WHERE r.refund_id = NEW.id AND r.confirmed AND r.verdict = 'did_not');
  END IF;"""
_GUARD = """
CREATE OR REPLACE FUNCTION refund_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  given_free boolean := false;
BEGIN-- TAKE BACK
  IF (NEW.id, NEW.amount_minor, NEW.transaction_id, NEW.currency, NEW.mode, NEW.account_id,
      NEW.origin, NEW.idem_scope, NEW.idem_key, NEW.request_hash, NEW.requested_by_id,
      NEW.needs_approval, NEW.retry_of_id, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.amount_minor, OLD.transaction_id, OLD.currency, OLD.mode, OLD.account_id,
      OLD.origin, OLD.idem_scope, OLD.idem_key, OLD.request_hash, OLD.requested_by_id,
      OLD.needs_approval, OLD.retry_of_id, OLD.created_at)
     OR NEW.fence < OLD.fence
     OR (OLD.processor_refund_id IS NOT NULL
         AND NEW.processor_refund_id IS DISTINCT FROM OLD.processor_refund_id
         AND NOT given_free)
  THEN
    RAISE EXCEPTION 'refund %: a field that never changes was changed', OLD.id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'refund_guard';
  END IF;
  IF NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) <> ALL (ARRAY[
      'awaiting_approval>queued', 'awaiting_approval>canceled',
      'queued>sending', 'queued>canceled',
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


class Migration(migrations.Migration):
    dependencies = [("refunds", "0008_settled_cases")]

    operations = [
        migrations.RunSQL(_GUARD.replace("-- TAKE BACK", _TAKE_BACK), _GUARD),
        migrations.RemoveConstraint(model_name="refund", name="refund_that_succeeded_has_an_id"),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=~Q(status__in=["succeeded", "returned"])
                | Q(processor_refund_id__isnull=False)
                | Q(status="returned", failure_code="not_made"),
                name="refund_that_succeeded_has_an_id",
            ),
        ),
    ]
