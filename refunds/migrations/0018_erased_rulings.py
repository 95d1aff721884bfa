"""What was said about a refund may be erased with the customer, and in no other way changed."""

from django.db import migrations

GUARD = """
CREATE OR REPLACE FUNCTION ruling_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.evidence = '[erased]' AND to_jsonb(NEW) - 'evidence' = to_jsonb(OLD) - 'evidence' THEN
    RETURN NEW;
  END IF;

"""

BODY = """
  IF OLD.decided_at IS NOT NULL
     OR (NEW.id, NEW.refund_id, NEW.attempt_id, NEW.verdict, NEW.evidence, NEW.processor_refund_id,
         NEW.proposed_by_id, NEW.proposed_at)
        IS DISTINCT FROM
        (OLD.id, OLD.refund_id, OLD.attempt_id, OLD.verdict, OLD.evidence, OLD.processor_refund_id,
         OLD.proposed_by_id, OLD.proposed_at)
  THEN
    RAISE EXCEPTION 'ruling %: what was said never changes', OLD.id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ruling_guard';
  END IF;
  RETURN NEW;
END $$;
"""

AS_BEFORE = """
CREATE OR REPLACE FUNCTION ruling_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
"""


class Migration(migrations.Migration):
    dependencies = [("refunds", "0017_approval_rules")]

    operations = [
        migrations.RunSQL(GUARD + BODY, AS_BEFORE + BODY),
    ]
