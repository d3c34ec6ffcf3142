-- What a product may say of its own sale, and a record of every change of a figure (DESIGN.md, R15 and R16).

ALTER TABLE products
  -- How long its units are set aside for an order; without it, the shop's default.
  ADD COLUMN hold_seconds integer,
  -- Units of it that one order may have; without it, the shop's default.
  ADD COLUMN max_per_order integer,
  ADD CONSTRAINT products_hold_bounded CHECK (hold_seconds BETWEEN 1 AND 604800),
  ADD CONSTRAINT products_max_per_order_positive CHECK (max_per_order > 0);

-- Whoever puts a row in changes the figure with it; whoever changes the figure has a row put in. Append-only.
-- No reference to products: what was counted of a product stays when it goes.
CREATE TABLE inventory_adjustments (
  id text CONSTRAINT inventory_adjustments_pkey PRIMARY KEY DEFAULT gen_random_uuid()::text,
  sku text NOT NULL,
  kind text NOT NULL DEFAULT 'correction',
  delta integer NOT NULL,
  reason text NOT NULL,
  made_by text NOT NULL DEFAULT session_user,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT inventory_adjustments_kind_known CHECK (kind IN ('opening', 'restock', 'correction')),
  CONSTRAINT inventory_adjustments_delta_not_zero CHECK (delta <> 0),
  CONSTRAINT inventory_adjustments_restock_adds CHECK (kind <> 'restock' OR delta > 0)
);
CREATE INDEX inventory_adjustments_of_sku ON inventory_adjustments (sku);

-- What there is now, and what was sold before the counting began.
INSERT INTO inventory_adjustments (sku, kind, delta, reason)
SELECT sku, 'opening', units, 'on hand and sold when adjustments began to be recorded'
  FROM (SELECT sku, sum(units) AS units
          FROM (SELECT sku, on_hand AS units FROM inventory
                UNION ALL
                SELECT sku, quantity FROM order_lines JOIN orders USING (order_id, revision)
                 WHERE outcome = 'fulfilled') AS counted
         GROUP BY sku) AS opening
 WHERE units <> 0;

CREATE TRIGGER inventory_adjustments_keep_rows BEFORE UPDATE OR DELETE ON inventory_adjustments
  FOR EACH ROW EXECUTE FUNCTION freehold.refuse_change();
CREATE TRIGGER inventory_adjustments_keep_table BEFORE TRUNCATE ON inventory_adjustments
  FOR EACH STATEMENT EXECUTE FUNCTION freehold.refuse_change();

-- The setting freehold.change, of the transaction, says that the figure and its record are somebody's already:
-- 'sale' an outcome is applied, and its order is the record; 'adjustment' the record comes first, and changes the
-- figure; 'recorded' the figure comes first, and is recorded.
CREATE FUNCTION freehold.apply_adjustment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  before text := coalesce(current_setting('freehold.change', true), '');
BEGIN
  IF before = 'recorded' THEN
    RETURN NULL;
  END IF;
  PERFORM set_config('freehold.change', 'adjustment', true);
  UPDATE public.inventory SET on_hand = on_hand + NEW.delta WHERE sku = NEW.sku;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'UNKNOWN_SKU: % is not in the inventory', NEW.sku;
  END IF;
  PERFORM set_config('freehold.change', before, true);
  RETURN NULL;
END
$$;

CREATE FUNCTION freehold.record_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  before text := coalesce(current_setting('freehold.change', true), '');
BEGIN
  IF before <> '' THEN
    RETURN NULL;
  END IF;
  PERFORM set_config('freehold.change', 'recorded', true);
  IF TG_OP = 'UPDATE' AND NEW.sku = OLD.sku THEN
    IF NEW.on_hand <> OLD.on_hand THEN
      INSERT INTO public.inventory_adjustments (sku, delta, reason)
      VALUES (NEW.sku, NEW.on_hand - OLD.on_hand, 'changed in the table');
    END IF;
  ELSE
    IF TG_OP <> 'INSERT' AND OLD.on_hand <> 0 THEN
      INSERT INTO public.inventory_adjustments (sku, delta, reason)
      VALUES (OLD.sku, -OLD.on_hand, 'taken out of the table');
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.on_hand <> 0 THEN
      INSERT INTO public.inventory_adjustments (sku, kind, delta, reason)
      VALUES (NEW.sku, 'opening', NEW.on_hand, 'put into the table');
    END IF;
  END IF;
  PERFORM set_config('freehold.change', before, true);
  RETURN NULL;
END
$$;

CREATE FUNCTION freehold.refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'TRUNCATE % would leave no record of its units: use DELETE', TG_TABLE_NAME;
END
$$;

CREATE TRIGGER inventory_adjustments_apply AFTER INSERT ON inventory_adjustments
  FOR EACH ROW EXECUTE FUNCTION freehold.apply_adjustment();
CREATE TRIGGER inventory_record_change AFTER INSERT OR UPDATE OR DELETE ON inventory
  FOR EACH ROW EXECUTE FUNCTION freehold.record_change();
CREATE TRIGGER inventory_keep_table BEFORE TRUNCATE ON inventory
  FOR EACH STATEMENT EXECUTE FUNCTION freehold.refuse_truncate();
