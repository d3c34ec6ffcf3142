-- The shop's own tables, and the bookkeeping that makes delivery exact (DESIGN.md, R1 to R5).

CREATE TABLE products (
  sku text CONSTRAINT products_pkey PRIMARY KEY,
  name text NOT NULL,
  price_minor integer NOT NULL,
  currency text NOT NULL,
  CONSTRAINT products_sku_length CHECK (char_length(sku) BETWEEN 1 AND 128),
  CONSTRAINT products_name_length CHECK (char_length(name) BETWEEN 1 AND 512),
  CONSTRAINT products_price_not_negative CHECK (price_minor >= 0),
  CONSTRAINT products_currency_code CHECK (currency ~ '^[A-Z]{3}$')
);

CREATE TABLE inventory (
  sku text CONSTRAINT inventory_pkey PRIMARY KEY REFERENCES products (sku) ON DELETE CASCADE,
  on_hand integer NOT NULL,
  -- R3: the last guard. An outcome that would break it is parked, never squeezed in.
  CONSTRAINT inventory_on_hand_not_negative CHECK (on_hand >= 0)
);

CREATE TABLE orders (
  order_id text NOT NULL,
  revision integer NOT NULL,
  outcome text NOT NULL,
  state text NOT NULL,
  reason text,
  customer_id text NOT NULL,
  customer_email text NOT NULL,
  customer_name text,
  customer_address text,
  currency text NOT NULL,
  total_minor bigint NOT NULL,
  created_at timestamptz NOT NULL,
  ended_at timestamptz NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- R1: what makes sending an outcome twice harmless.
  CONSTRAINT orders_pkey PRIMARY KEY (order_id, revision),
  CONSTRAINT orders_outcome_known CHECK (outcome IN ('fulfilled', 'refunded', 'failed', 'cancelled'))
);

-- R1: whatever its revisions, an order takes its units out of the inventory at most once.
CREATE UNIQUE INDEX orders_fulfilled_once ON orders (order_id) WHERE outcome = 'fulfilled';
CREATE INDEX orders_fulfilled_lately ON orders (applied_at) WHERE outcome = 'fulfilled';

-- No reference to products: a shop may delist what it once sold.
CREATE TABLE order_lines (
  order_id text NOT NULL,
  revision integer NOT NULL,
  line_number integer NOT NULL,
  sku text NOT NULL,
  quantity integer NOT NULL,
  unit_price_minor integer NOT NULL,
  CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, revision, line_number),
  CONSTRAINT order_lines_order FOREIGN KEY (order_id, revision) REFERENCES orders (order_id, revision),
  CONSTRAINT order_lines_quantity_positive CHECK (quantity > 0)
);

CREATE TABLE audit_events (
  order_id text NOT NULL,
  revision integer NOT NULL,
  -- Its place in the journal, such as n1:42.
  event_id text NOT NULL,
  type text NOT NULL,
  at timestamptz NOT NULL,
  node text NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT audit_events_pkey PRIMARY KEY (order_id, revision, event_id)
);

-- R5: what was recorded stays, whoever asks.
CREATE FUNCTION freehold.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_events_keep_rows BEFORE UPDATE OR DELETE ON audit_events
  FOR EACH ROW EXECUTE FUNCTION freehold.refuse_change();
CREATE TRIGGER audit_events_keep_table BEFORE TRUNCATE ON audit_events
  FOR EACH STATEMENT EXECUTE FUNCTION freehold.refuse_change();

-- R7: one row that numbers the reads of the inventory. Locked while the snapshot is taken, so that a higher
-- number always stands for a later snapshot, even if the database's clock is set back.
CREATE TABLE freehold.inventory_reads (
  only_row boolean PRIMARY KEY DEFAULT true,
  taken_at_ms bigint NOT NULL,
  CONSTRAINT inventory_reads_only_row CHECK (only_row)
);
INSERT INTO freehold.inventory_reads (taken_at_ms) VALUES (0);
