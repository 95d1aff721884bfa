"""What constraints cannot say: identities across tables, legal edges, sums, and the audit chain.

Everything here holds whoever writes, with or without the ORM (tests/refunds/test_guards.py).
"""

from django.db import migrations

IDENTITIES = """
ALTER TABLE refunds_refund ADD CONSTRAINT refund_matches_transaction
  FOREIGN KEY (transaction_id, currency, mode, account_id)
  REFERENCES transactions_transaction (id, currency, mode, account_id);
ALTER TABLE refunds_refundattempt ADD CONSTRAINT attempt_matches_refund
  FOREIGN KEY (refund_id, account_id, mode) REFERENCES refunds_refund (id, account_id, mode);
"""

DROP_IDENTITIES = """
ALTER TABLE refunds_refund DROP CONSTRAINT refund_matches_transaction;
ALTER TABLE refunds_refundattempt DROP CONSTRAINT attempt_matches_refund;
"""

# What was asked for never changes, the fence never goes back, and only the edges of
# refunds/states.py exist.
REFUND_GUARD = """
CREATE FUNCTION refund_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.amount_minor, NEW.transaction_id, NEW.currency, NEW.mode, NEW.account_id,
      NEW.origin, NEW.idem_scope, NEW.idem_key, NEW.request_hash, NEW.requested_by_id,
      NEW.needs_approval, NEW.retry_of_id, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.amount_minor, OLD.transaction_id, OLD.currency, OLD.mode, OLD.account_id,
      OLD.origin, OLD.idem_scope, OLD.idem_key, OLD.request_hash, OLD.requested_by_id,
      OLD.needs_approval, OLD.retry_of_id, OLD.created_at)
     OR NEW.fence < OLD.fence
     OR (OLD.processor_refund_id IS NOT NULL
         AND NEW.processor_refund_id IS DISTINCT FROM OLD.processor_refund_id)
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
CREATE TRIGGER refund_guard BEFORE UPDATE ON refunds_refund
  FOR EACH ROW EXECUTE FUNCTION refund_guard();

CREATE FUNCTION attempt_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.id, NEW.refund_id, NEW.account_id, NEW.mode, NEW.credential_fingerprint, NEW.number,
      NEW.operation, NEW.reference, NEW."order", NEW.order_hash, NEW.started_at)
     IS DISTINCT FROM
     (OLD.id, OLD.refund_id, OLD.account_id, OLD.mode, OLD.credential_fingerprint, OLD.number,
      OLD.operation, OLD.reference, OLD."order", OLD.order_hash, OLD.started_at)
     OR NEW.fence < OLD.fence OR NEW.sends < OLD.sends
     OR (OLD.first_sent_at IS NOT NULL AND NEW.first_sent_at IS DISTINCT FROM OLD.first_sent_at)
  THEN
    RAISE EXCEPTION 'attempt %: a field that never changes was changed', OLD.id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'attempt_guard';
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) <> ALL (ARRAY[
      'started>accepted', 'started>declined', 'started>not_sent', 'started>ambiguous',
      'ambiguous>accepted', 'ambiguous>declined', 'ambiguous>ruled_out'])
  THEN
    RAISE EXCEPTION 'attempt %: no edge from % to %', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'attempt_guard';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER attempt_guard BEFORE UPDATE ON refunds_refundattempt
  FOR EACH ROW EXECUTE FUNCTION attempt_guard();
"""

DROP_REFUND_GUARD = """
DROP TRIGGER refund_guard ON refunds_refund;
DROP FUNCTION refund_guard();
DROP TRIGGER attempt_guard ON refunds_refundattempt;
DROP FUNCTION attempt_guard();
"""

# At every commit the two sums of a transaction equal its refund rows. Deferred, because a sum and
# a row change in two statements of one database transaction; the row lock on the transaction,
# which every writer of refunds takes first, keeps others out until then.
SUMS = """
CREATE FUNCTION check_transaction_sums() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  checked bigint;
  sums record;
BEGIN
  IF TG_TABLE_NAME = 'refunds_refund' THEN
    checked := NEW.transaction_id;
  ELSE
    checked := NEW.id;
  END IF;
  -- One statement, so that both sides are seen at the same moment.
  SELECT t.refunded_minor, t.reserved_minor,
         coalesce(sum(r.amount_minor) FILTER (WHERE r.status = 'succeeded'), 0) AS refunded,
         coalesce(sum(r.amount_minor) FILTER (WHERE r.status IN
           ('awaiting_approval', 'queued', 'sending', 'unknown', 'pending')), 0) AS reserved
    INTO sums
    FROM transactions_transaction t LEFT JOIN refunds_refund r ON r.transaction_id = t.id
    WHERE t.id = checked GROUP BY t.id;
  IF (sums.refunded_minor, sums.reserved_minor) IS DISTINCT FROM (sums.refunded, sums.reserved) THEN
    RAISE EXCEPTION 'transaction %: sums are refunded % reserved %, its refunds say % and %',
      checked, sums.refunded_minor, sums.reserved_minor, sums.refunded, sums.reserved
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'transaction_sums';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refund_sums AFTER INSERT OR UPDATE OF status ON refunds_refund
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transaction_sums();
CREATE CONSTRAINT TRIGGER transaction_sums
  AFTER UPDATE OF refunded_minor, reserved_minor ON transactions_transaction
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_transaction_sums();
CREATE CONSTRAINT TRIGGER new_transaction_sums
  AFTER INSERT ON transactions_transaction
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.refunded_minor <> 0 OR NEW.reserved_minor <> 0)
  EXECUTE FUNCTION check_transaction_sums();
"""

DROP_SUMS = """
DROP TRIGGER new_transaction_sums ON transactions_transaction;
DROP TRIGGER transaction_sums ON transactions_transaction;
DROP TRIGGER refund_sums ON refunds_refund;
DROP FUNCTION check_transaction_sums();
"""

# One chain over all events: each row carries the hash of the one before, so that a changed, removed
# or swapped row is found. The advisory lock orders writers; it is the last lock that any takes.
AUDIT = """
CREATE FUNCTION event_digest(event refunds_refundevent) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT encode(sha256(convert_to(concat_ws('|',
    event.sequence::text, event.refund_id::text,
    (extract(epoch FROM event.at) * 1000000)::bigint::text,
    event.kind, event.from_status, event.to_status, coalesce(event.actor_id::text, ''),
    event.data::text, event.previous_hash), 'UTF8')), 'hex')
$$;
CREATE FUNCTION chain_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  newest refunds_refundevent;
BEGIN
  PERFORM pg_advisory_xact_lock(7266853);
  SELECT * INTO newest FROM refunds_refundevent ORDER BY sequence DESC LIMIT 1;
  NEW.sequence := coalesce(newest.sequence, 0) + 1;
  NEW.previous_hash := coalesce(newest.hash, repeat('0', 64));
  NEW.at := clock_timestamp();
  NEW.hash := event_digest(NEW);
  RETURN NEW;
END $$;
CREATE TRIGGER chain_event BEFORE INSERT ON refunds_refundevent
  FOR EACH ROW EXECUTE FUNCTION chain_event();
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'append_only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON refunds_refundevent
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE ON refunds_refund
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE ON refunds_refundattempt
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

DROP_AUDIT = """
DROP TRIGGER never_removed ON refunds_refundattempt;
DROP TRIGGER never_removed ON refunds_refund;
DROP TRIGGER append_only ON refunds_refundevent;
DROP TRIGGER chain_event ON refunds_refundevent;
DROP FUNCTION refuse_change();
DROP FUNCTION chain_event();
DROP FUNCTION event_digest(refunds_refundevent);
"""


class Migration(migrations.Migration):
    dependencies = [("refunds", "0001_initial"), ("transactions", "0001_initial")]

    operations = [
        migrations.RunSQL(IDENTITIES, DROP_IDENTITIES),
        migrations.RunSQL(REFUND_GUARD, DROP_REFUND_GUARD),
        migrations.RunSQL(SUMS, DROP_SUMS),
        migrations.RunSQL(AUDIT, DROP_AUDIT),
    ]
