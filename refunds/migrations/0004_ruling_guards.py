"""An attempt that was sent is ruled out by two people only, and what they said stays."""

from django.db import migrations

RULED_OUT = """
CREATE FUNCTION ruled_out_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.sends > 0 AND NOT EXISTS (
      SELECT FROM refunds_ruling r WHERE r.attempt_id = NEW.id AND r.confirmed
        AND r.verdict IN ('did_not', 'send_again'))
  THEN
    RAISE EXCEPTION 'attempt %: it was sent, so only a confirmed ruling rules it out', NEW.id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ruled_out_guard';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER ruled_out_guard BEFORE UPDATE ON refunds_refundattempt
  FOR EACH ROW WHEN (NEW.state = 'ruled_out' AND OLD.state <> 'ruled_out')
  EXECUTE FUNCTION ruled_out_guard();
"""

DROP_RULED_OUT = """
DROP TRIGGER ruled_out_guard ON refunds_refundattempt;
DROP FUNCTION ruled_out_guard();
"""

# What was said never changes; a ruling is decided once.
RULINGS = """
CREATE FUNCTION ruling_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
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
CREATE TRIGGER ruling_guard BEFORE UPDATE ON refunds_ruling
  FOR EACH ROW EXECUTE FUNCTION ruling_guard();
CREATE TRIGGER never_removed BEFORE DELETE ON refunds_ruling
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE ON refunds_webhookevent
  FOR EACH ROW WHEN (OLD.event_id IS NOT NULL) EXECUTE FUNCTION refuse_change();
"""

DROP_RULINGS = """
DROP TRIGGER never_removed ON refunds_webhookevent;
DROP TRIGGER never_removed ON refunds_ruling;
DROP TRIGGER ruling_guard ON refunds_ruling;
DROP FUNCTION ruling_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("refunds", "0003_attention_and_webhooks")]

    operations = [
        migrations.RunSQL(RULED_OUT, DROP_RULED_OUT),
        migrations.RunSQL(RULINGS, DROP_RULINGS),
    ]
