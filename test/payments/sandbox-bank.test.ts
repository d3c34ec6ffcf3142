import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { SandboxEvent } from '../../node/payments/sandbox/events.ts';
import type { FaultPlan } from '../../node/payments/sandbox/fault-plan.ts';
import { hostilePlan } from '../../node/payments/sandbox/hostile-plan.ts';
import { amountRefunded } from '../../node/payments/sandbox/intent.ts';
import type { LoggedRequest } from '../../node/payments/sandbox/operation-log.ts';
import { StripeDouble } from '../../node/payments/sandbox/stripe-double.ts';
import type { ProviderReply } from '../../node/payments/sandbox/stripe-double.ts';

/** What some client does: anything, to any payment there is, at any time, with keys that come again. */
interface Step {
  readonly afterMs: number;
  readonly kind: 'create' | 'confirm' | 'capture' | 'cancel' | 'refund' | 'authenticate' | 'again';
  /** Which payment, or which earlier request. */
  readonly pick: number;
  readonly amount: number;
  readonly method: string;
  readonly capture: 'manual' | 'automatic';
  readonly offSession: boolean;
  readonly outcome: 'succeeded' | 'failed';
}

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    afterMs: fc.oneof(
      { weight: 15, arbitrary: fc.nat(1_000) },
      { weight: 1, arbitrary: fc.nat(1_000_000_000) },
    ),
    kind: fc.constantFrom(
      ...(['create', 'create', 'capture', 'refund', 'again', 'again'] as const),
      ...(['cancel', 'authenticate', 'confirm'] as const),
    ),
    pick: fc.nat(8),
    amount: fc.integer({ min: 1, max: 50 }),
    method: fc.constantFrom(
      'pm_card_visa',
      'pm_card_visa',
      'pm_card_authenticationRequired',
      'pm_card_chargeDeclined',
      'pm_card_pendingRefund',
      'pm_card_refundFail',
      'pm_card_authenticationRequiredChargeDeclinedInsufficientFunds',
    ),
    capture: fc.constantFrom('manual', 'automatic'),
    offSession: fc.boolean(),
    outcome: fc.constantFrom('succeeded', 'failed'),
  }),
  { minLength: 1, maxLength: 50, size: 'max' },
);

/** Bank's faults often, so that histories are about them; faults of the way as they come. */
const plans: fc.Arbitrary<FaultPlan> = fc.record({
  seed: fc.nat(),
  rules: fc.subarray(
    [
      ...hostilePlan(1).rules,
      { fault: 'requiresAction', probability: 0.5 },
      { fault: 'processing', probability: 0.4, settlesAfterMs: 700, to: 'succeeded' },
      { fault: 'processing', probability: 0.4, settlesAfterMs: 700, to: 'failed' },
      { fault: 'authorizationExpires', probability: 0.5, afterMs: 900 },
      { fault: 'captureFails', probability: 0.3 },
      { fault: 'refundPending', probability: 0.5, settlesAfterMs: 800, then: 'failed' },
      { fault: 'refundFails', probability: 0.5, afterMs: 800 },
      { fault: 'serverError', probability: 0.3, done: true },
      { fault: 'serverError', probability: 0.3, done: false },
    ] as FaultPlan['rules'],
    { minLength: 0 },
  ),
});

interface Told {
  readonly url: string;
  readonly body: string;
  readonly key: string;
  readonly at: number;
  readonly answer: ProviderReply['answer'];
}

class World {
  readonly double: StripeDouble;
  readonly logged: LoggedRequest[] = [];
  readonly events: SandboxEvent[] = [];
  readonly told: Told[] = [];
  at = 1_700_000_000_000;

  constructor(plan: FaultPlan) {
    this.double = new StripeDouble(
      { seed: 'test', origin: () => 'http://sandbox.test' },
      { onEvent: (event) => this.events.push(event) },
    );
    this.double.faults.put(this.at, plan);
  }

  do(step: Step): Told | undefined {
    this.at += step.afterMs;
    const { bank } = this.double;
    const intent = bank.intentCount === 0 ? undefined : bank.intentAt(step.pick % bank.intentCount);
    if (step.kind === 'again') {
      const before = this.told.length === 0 ? undefined : this.told[step.pick % this.told.length];
      return before && this.#ask(before.url, before.body, before.key);
    }
    if (step.kind === 'authenticate') {
      if (intent !== undefined) this.#note(this.double.authenticate(this.at, intent.id, step.outcome));
      return undefined;
    }
    const [url, form] = requestOf(step, intent?.id ?? 'pi_none');
    return this.#ask(url, new URLSearchParams(form).toString(), `k${this.told.length}`);
  }

  #ask(url: string, body: string, key: string): Told {
    const { at } = this;
    const authorization = 'Bearer sk';
    const reply = this.double.handle({ at, method: 'POST', url, body, authorization, idempotencyKey: key });
    this.#note(reply);
    const told = { url, body, key, at, answer: reply.answer };
    this.told.push(told);
    return told;
  }

  #note(reply: ProviderReply): void {
    if (reply.logged !== undefined) this.logged.push(reply.logged);
    reply.sent();
  }
}

function requestOf(step: Step, intent: string): [url: string, form: Record<string, string>] {
  const { amount, method, capture, offSession } = step;
  switch (step.kind) {
    case 'create':
      return [
        '/v1/payment_intents',
        {
          amount: String(amount),
          currency: 'eur',
          confirm: 'true',
          payment_method: method,
          capture_method: capture,
          'metadata[order_id]': `o${step.pick}`,
          ...(offSession ? { off_session: 'true' } : { return_url: 'https://shop.test/back' }),
        },
      ];
    case 'capture':
      return [`/v1/payment_intents/${intent}/capture`, amount % 2 === 0 ? {} : { amount_to_capture: '1' }];
    case 'refund':
      return [
        '/v1/refunds',
        { payment_intent: intent, ...(amount % 2 === 0 ? {} : { amount: String(amount) }) },
      ];
    case 'confirm':
      return [`/v1/payment_intents/${intent}/confirm`, { payment_method: method }];
    default:
      return [`/v1/payment_intents/${intent}/${step.kind}`, {}];
  }
}

function bookOf(double: StripeDouble): unknown {
  return [...double.bank.intents()];
}

test('no history and no fault breaks the books: captured and refunded keep within bounds, void is void (B1-B3)', () => {
  const voided = new Set<string>();
  const captured = new Map<string, number>();
  let movements = 0;
  fc.assert(
    fc.property(steps, plans, (history, plan) => {
      voided.clear();
      captured.clear();
      const world = new World(plan);
      for (const step of history) {
        world.do(step);
        for (const intent of world.double.bank.intents()) {
          const { id, charge, status, amount } = intent;
          const taken = charge?.amountCaptured ?? 0;
          expect(taken).toBeLessThanOrEqual(amount);
          expect(amountRefunded(charge)).toBeLessThanOrEqual(taken);
          // What is taken is taken once, and stays: only refunds give it back.
          expect(taken).toBe(captured.get(id) ?? taken);
          if (taken > 0) captured.set(id, taken);
          if (status === 'canceled') voided.add(id);
          if (voided.has(id)) expect([status, taken]).toEqual(['canceled', 0]);
          expect(status === 'succeeded').toBe(taken > 0);
        }
      }
      movements += captured.size;
    }),
    { numRuns: 300 },
  );
  expect(movements).toBeGreaterThan(300);
});

test('the log, replayed, gives the same books, whoever looked in between (B4, D2)', () => {
  fc.assert(
    fc.property(steps, plans, fc.array(fc.nat(5_000)), (history, plan, looks) => {
      const world = new World(plan);
      const watched = new World(plan);
      history.forEach((step, index) => {
        watched.double.settle(watched.at + Math.min(looks[index] ?? 0, step.afterMs));
        world.do(step);
        watched.do(step);
      });
      const replayed = new StripeDouble({ seed: 'test', origin: () => 'http://sandbox.test' });
      replayed.replay(world.logged);
      replayed.settle(world.at);
      expect(bookOf(replayed)).toEqual(bookOf(world.double));
      expect(bookOf(watched.double)).toEqual(bookOf(world.double));
      expect(watched.events).toEqual(world.events);
    }),
    { numRuns: 150 },
  );
});

test('the same key is answered the same within its window, or with 409, 429 or 5xx of the edge (D1)', () => {
  let repeated = 0;
  const edge = new Set([429, 503]);
  const withoutForgetting = plans.map((plan) => ({
    ...plan,
    rules: plan.rules.filter(({ fault }) => fault !== 'forgetKeys' && fault !== 'serverErrorOnce'),
  }));
  fc.assert(
    fc.property(steps, withoutForgetting, (history, plan) => {
      const world = new World(plan);
      const first = new Map<string, Told>();
      for (const step of history) {
        const told = world.do(step);
        if (told?.answer === undefined || edge.has(told.answer.status)) continue;
        const before = first.get(told.key);
        const notStarted = told.answer.status === 404 || told.answer.status === 400;
        if (before === undefined || told.at - before.at >= 86_400_000) {
          // Its first answer, or the first after the key was forgotten. What was never started leaves no trace.
          if (!notStarted) first.set(told.key, told);
          continue;
        }
        repeated += 1;
        expect(told.answer.body).toEqual(before.answer?.body);
        expect(told.answer.headers['idempotent-replayed']).toBe('true');
      }
    }),
    { numRuns: 200 },
  );
  expect(repeated).toBeGreaterThan(100);
});

test('an authorization ends by itself after seven days, to the millisecond, and is told of', () => {
  const world = new World({ seed: 1, rules: [] });
  const told = world.do(stepOf({ kind: 'create', capture: 'manual' }));
  expect(told?.answer?.body).toMatchObject({ status: 'requires_capture' });
  const endsAt = world.at + 7 * 86_400_000;
  expect(world.double.bank.nextChangeAt()).toBe(endsAt);
  world.double.settle(endsAt - 1);
  expect(world.double.bank.intentAt(0).status).toBe('requires_capture');
  world.double.settle(endsAt);
  expect(world.double.bank.intentAt(0)).toMatchObject({
    status: 'canceled',
    cancellationReason: 'automatic',
    charge: { captured: false },
  });
  expect(world.events.map(({ type }) => type)).toEqual([
    'payment_intent.created',
    'payment_intent.amount_capturable_updated',
    'payment_intent.canceled',
  ]);
});

test('a key is forgotten earlier when the plan says so, and then it charges anew', () => {
  const world = new World({
    seed: 1,
    rules: [{ fault: 'forgetKeys', probability: 1, keyWindowMs: 60_000 }],
  });
  world.do(stepOf({ kind: 'create' }));
  world.do(stepOf({ kind: 'again', afterMs: 59_999 }));
  expect(world.double.bank.intentCount).toBe(1);
  world.do(stepOf({ kind: 'again', afterMs: 1 }));
  expect(world.double.bank.intentCount).toBe(2);
  expect(world.double.faults.report().struck).toEqual({ forgetKeys: { create: 1 } });
});

function stepOf(step: Partial<Step>): Step {
  return {
    afterMs: 0,
    kind: 'create',
    pick: 0,
    amount: 20,
    method: 'pm_card_visa',
    capture: 'automatic',
    offSession: true,
    outcome: 'succeeded',
    ...step,
  };
}
