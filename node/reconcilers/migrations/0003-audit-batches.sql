-- Says of each audit event who wrote it and with which others: the transaction that applied a batch of outcomes.

ALTER TABLE audit_events ADD COLUMN batch bigint;
ALTER TABLE audit_events ALTER COLUMN batch SET DEFAULT txid_current();
ALTER TABLE audit_events ADD COLUMN recorded_by text;
ALTER TABLE audit_events ALTER COLUMN recorded_by SET DEFAULT session_user;

-- For the drift report, which reads orders from the newest to the oldest.
CREATE INDEX orders_by_age ON orders (created_at, order_id);
