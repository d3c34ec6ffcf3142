import fc from 'fast-check';

import type { Command } from '../../store/ledger/commands.ts';
import { releaseReasons } from '../../store/ledger/commands.ts';

/**
 * Random ledger histories over a world small enough that everything collides: six orders, three SKUs, few units,
 * short holds.
 */
export interface Step {
  /** How far time moves before this step, ms. */
  readonly elapsedMs: number;
  readonly action: Command | 'sweep' | 'restart';
}

const orderIds = ['o1', 'o2', 'o3', 'o4', 'o5', 'o6'];
const skus = ['apple', 'berry', 'cherry'];

export const startAt = 1_700_000_000_000;

/** Most are created early in a history, which lasts a second at most. A clock may be ahead or behind. */
const moment = fc.oneof(
  { arbitrary: fc.integer({ min: startAt - 50, max: startAt + 100 }), weight: 3 },
  fc.integer({ min: startAt, max: startAt + 900 }),
);
const orderReference = fc
  .record({
    orderId: fc.constantFrom(...orderIds),
    // Without: from an older program.
    createdAt: fc.option(moment, { nil: undefined, freq: 10 }),
  })
  .map(({ orderId, createdAt }) => (createdAt === undefined ? { orderId } : { orderId, createdAt }));
const sku = fc.constantFrom(...skus);

const lines = fc.array(fc.record({ sku, quantity: fc.integer({ min: 1, max: 4 }) }), {
  minLength: 1,
  maxLength: 4,
});

const hold: fc.Arbitrary<Command> = ofOrder({
  kind: fc.constant('hold' as const),
  // Mostly the same, or hardly anything would get past the conflict.
  fingerprint: fc.oneof({ arbitrary: fc.constant('f'), weight: 9 }, fc.constant('g')),
  ttlMs: fc.integer({ min: 1, max: 60 }),
  lines,
});

const commit: fc.Arbitrary<Command> = ofOrder({ kind: fc.constant('commit' as const) });

const release: fc.Arbitrary<Command> = ofOrder({
  kind: fc.constant('release' as const),
  reason: fc.constantFrom(...releaseReasons),
});

/** Each SKU is listed with a figure, dropped, or left out. */
const sync: fc.Arbitrary<Extract<Command, { kind: 'stockSync' }>> = fc
  .record({
    takenAt: fc.integer({ min: 0, max: 40 }),
    fates: fc.tuple(
      ...skus.map(() =>
        fc.oneof(
          { arbitrary: fc.integer({ min: -2, max: 12 }), weight: 5 },
          { arbitrary: fc.constant('removed' as const), weight: 1 },
          { arbitrary: fc.constant('left out' as const), weight: 2 },
        ),
      ),
    ),
    unitPrice: fc.integer({ min: 0, max: 9_999 }),
    rules: fc.record(
      { holdMs: fc.integer({ min: 1, max: 60 }), maxPerOrder: fc.integer({ min: 1, max: 9 }) },
      { requiredKeys: [] },
    ),
    applied: fc.subarray([...orderIds, 'never seen']),
  })
  .map(({ takenAt, fates, unitPrice, rules, applied }) => ({
    kind: 'stockSync',
    takenAt,
    part: 0,
    parts: 1,
    products: skus.flatMap((name, index) => {
      const onHand = fates[index];
      if (typeof onHand !== 'number') return [];
      // One product has them, so that a place in the list counts.
      return [{ sku: name, name, unitPrice, currency: 'EUR', onHand, ...(index === 1 ? rules : {}) }];
    }),
    removed: skus.filter((_, index) => fates[index] === 'removed'),
    applied,
  }));

const adjust: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('adjust' as const),
  id: fc.constantFrom('a1', 'a2', 'a3'),
  sku,
  delta: fc.integer({ min: -5, max: 5 }),
});

const claim: fc.Arbitrary<Command> = ofOrder({
  kind: fc.constant('claim' as const),
  registration: fc.constantFrom('n1:1', 'n2:1', 'n3:7'),
});

const forget: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('forget' as const),
  before: fc.integer({ min: startAt, max: startAt + 900 }),
});

export const syncs = sync;

/** A command about an order. */
function ofOrder<Fields>(fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> }) {
  return fc.tuple(orderReference, fc.record(fields)).map(([order, rest]) => ({ ...order, ...rest }));
}

export const histories: fc.Arbitrary<readonly Step[]> = fc
  .array(
    fc.record({
      elapsedMs: fc.oneof({ arbitrary: fc.constant(0), weight: 2 }, fc.integer({ min: 0, max: 30 })),
      action: fc.oneof<fc.WeightedArbitrary<Step['action']>[]>(
        { arbitrary: hold, weight: 8 },
        { arbitrary: commit, weight: 5 },
        { arbitrary: release, weight: 3 },
        { arbitrary: sync, weight: 3 },
        { arbitrary: adjust, weight: 1 },
        { arbitrary: claim, weight: 1 },
        { arbitrary: forget, weight: 2 },
        { arbitrary: fc.constant('sweep' as const), weight: 2 },
        { arbitrary: fc.constant('restart' as const), weight: 1 },
      ),
    }),
    { minLength: 1, maxLength: 80 },
  )
  // Without stock nothing can happen: every history opens with a delivery.
  .chain((steps) => sync.map((opening) => [{ elapsedMs: 0, action: { ...opening, takenAt: 0 } }, ...steps]));
