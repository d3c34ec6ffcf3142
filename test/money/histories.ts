import * as fc from 'fast-check';
import type { Rule } from '../../node/payments/sandbox/index.ts';

/**
 * What may happen to a shop: who orders what, when, where and how stubbornly, and what goes wrong meanwhile at the
 * payment provider, at the system of record and with the nodes. Everything shrinks to nothing.
 */
export interface History {
  readonly chance: number;
  readonly nodes: 1 | 3;
  readonly capture: 'after-reserve' | 'immediate';
  readonly orders: readonly OrderPlan[];
  readonly faults: readonly Rule[];
  /** The payment provider can not be reached. */
  readonly providerOutages: readonly Outage[];
  readonly shopOutages: readonly Outage[];
  readonly crashes: readonly Crash[];
}

export interface OrderPlan {
  readonly sku: string;
  readonly quantity: number;
  readonly method: string;
  /** Of the node that is asked first, and of the one that is asked again with the same key. */
  readonly place: number;
  readonly atMs: number;
  readonly again?: { readonly place: number; readonly afterMs: number } | undefined;
  readonly cancelled?: { readonly place: number; readonly afterMs: number } | undefined;
  /** Whether the customer does what the bank asks for. */
  readonly isWilling: boolean;
}

export interface Outage {
  readonly fromMs: number;
  readonly forMs: number;
}

export interface Crash {
  readonly place: number;
  readonly atMs: number;
  readonly forMs: number;
  readonly losesPower: boolean;
}

export const skus = [
  { sku: 'MUG', unitPrice: 500, onHand: 4 },
  { sku: 'LAMP', unitPrice: 1_900, onHand: 2 },
] as const;

/** From then on nothing goes wrong any more. */
export const calmAtMs = 6_000;

/** Within what the shop's node may take a key to be remembered, and what the provider remembers it for. */
export const keyWindowMs = 2_000;
export const keysKeptForMs = 4_000;

const place = fc.nat({ max: 2 });
const moment = (max: number): fc.Arbitrary<number> => fc.nat({ max });

const order: fc.Arbitrary<OrderPlan> = fc.record({
  sku: fc.constantFrom(...skus.map(({ sku }) => sku)),
  quantity: fc.integer({ min: 1, max: 3 }),
  method: fc.constantFrom(
    'pm_card_visa',
    'pm_card_visa',
    'pm_card_visa',
    'pm_card_chargeDeclined',
    'pm_card_authenticationRequired',
    'pm_card_pendingRefund',
  ),
  place,
  atMs: moment(3_000),
  again: fc.option(fc.record({ place, afterMs: moment(1_000) }), { nil: undefined }),
  cancelled: fc.option(fc.record({ place, afterMs: moment(1_500) }), { nil: undefined, freq: 3 }),
  isWilling: fc.boolean(),
});

const outage: fc.Arbitrary<Outage> = fc.record({
  fromMs: moment(4_000),
  forMs: fc.integer({ min: 1, max: 3_000 }),
});
const crash: fc.Arbitrary<Crash> = fc.record({
  place,
  atMs: moment(4_500),
  forMs: fc.integer({ min: 1, max: 1_500 }),
  losesPower: fc.boolean(),
});

/** The faults of one kind: how likely, and at most how often. */
const struck = { probability: fc.constantFrom(1, 0.5, 0.2), times: fc.integer({ min: 1, max: 6 }) };
const settles = fc.integer({ min: 1, max: 2_500 });
const outcome = fc.constantFrom('succeeded' as const, 'failed' as const);

const fault: fc.Arbitrary<Rule> = fc.oneof(
  fc.record({ ...struck, fault: fc.constant('dropRequest' as const) }),
  fc.record({ ...struck, fault: fc.constant('dropReply' as const) }),
  fc.record({ ...struck, fault: fc.constant('lateReply' as const), delayMs: settles }),
  fc.record({ ...struck, fault: fc.constant('rateLimit' as const) }),
  fc.record({ ...struck, fault: fc.constant('rateLimit' as const), retryAfterSeconds: fc.constant(1) }),
  fc.record({ ...struck, fault: fc.constant('serverErrorOnce' as const), status: fc.constant(503 as const) }),
  fc.record({ ...struck, fault: fc.constant('serverError' as const), done: fc.boolean() }),
  fc.record({ ...struck, fault: fc.constant('requiresAction' as const) }),
  fc.record({ ...struck, fault: fc.constant('processing' as const), settlesAfterMs: settles, to: outcome }),
  fc.record({ ...struck, fault: fc.constant('authorizationExpires' as const), afterMs: settles }),
  fc.record({ ...struck, fault: fc.constant('captureFails' as const) }),
  fc.record({
    ...struck,
    fault: fc.constant('refundPending' as const),
    settlesAfterMs: settles,
    then: outcome,
  }),
  // At once, or after it seemed to have succeeded: that is told by webhook only.
  fc.record({ ...struck, fault: fc.constant('refundFails' as const), afterMs: fc.constant(0) }),
  fc.record({ ...struck, fault: fc.constant('refundFails' as const), afterMs: settles }),
  fc.record({ ...struck, fault: fc.constant('searchLags' as const), lagMs: settles }),
);

const webhookFault: fc.Arbitrary<Rule> = fc.oneof(
  fc.record({
    ...struck,
    fault: fc.constant('duplicated' as const),
    copies: fc.integer({ min: 1, max: 3 }),
    afterMs: settles,
  }),
  fc.record({ ...struck, fault: fc.constant('reordered' as const), withinMs: settles }),
  fc.record({ ...struck, fault: fc.constant('late' as const), delayMs: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({
    ...struck,
    fault: fc.constant('badlySigned' as const),
    how: fc.constantFrom('otherSecret' as const, 'staleTime' as const, 'alteredBody' as const),
  }),
  fc.record({ ...struck, fault: fc.constant('replayed' as const) }),
  fc.record({ ...struck, fault: fc.constant('dropped' as const) }),
);

export const histories: fc.Arbitrary<History> = fc.record({
  chance: fc.nat({ max: 1_000_000 }),
  nodes: fc.constantFrom(1 as const, 3 as const),
  capture: fc.constantFrom('after-reserve' as const, 'immediate' as const),
  orders: fc.array(order, { minLength: 1, maxLength: 6 }),
  faults: fc.array(fc.oneof({ arbitrary: fault, weight: 3 }, webhookFault), { maxLength: 6 }),
  providerOutages: fc.array(outage, { maxLength: 1 }),
  shopOutages: fc.array(outage, { maxLength: 2 }),
  crashes: fc.array(crash, { maxLength: 3 }),
});
