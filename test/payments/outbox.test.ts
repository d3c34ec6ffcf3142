import Stripe from 'stripe';
import { describe, expect, test } from 'vitest';

import type { SandboxEvent } from '../../node/payments/sandbox/events.ts';
import type { Rule } from '../../node/payments/sandbox/fault-plan.ts';
import { Faults } from '../../node/payments/sandbox/faults.ts';
import { Outbox } from '../../node/payments/sandbox/outbox.ts';
import type { Delivery, OutboxOptions } from '../../node/payments/sandbox/outbox.ts';

const secret = 'whsec_test';
const start = 1_700_000_000_000;

function outboxWith(rules: readonly Rule[], options: Partial<OutboxOptions> = {}): Outbox {
  const faults = new Faults();
  faults.put(start, { seed: 1, rules: [...rules] });
  return new Outbox({ secret, ...options }, { faults });
}

function event(name: string, afterMs = 0, intentId = 'pi_1'): SandboxEvent {
  const body = JSON.stringify({
    id: name,
    object: 'event',
    type: 'x',
    livemode: false,
    data: { object: { id: intentId } },
  });
  return { id: name, type: 'x', intentId, at: start + afterMs, body };
}

function isGenuine({ body, signature }: Delivery, at: number): boolean {
  try {
    Stripe.webhooks.constructEvent(body, signature, secret, 300, undefined, at);
    return true;
  } catch {
    return false;
  }
}

/** Lets the shop take whatever comes, each at its time, and gives what it got. */
function deliverAll(outbox: Outbox, accepts: (delivery: Delivery, at: number) => boolean = isGenuine) {
  const got: { readonly id: string; readonly afterMs: number; readonly genuine: boolean }[] = [];
  for (let at = outbox.nextAt(); at !== undefined; at = outbox.nextAt()) {
    for (const delivery of outbox.take(at, 100)) {
      got.push({ id: delivery.event.id, afterMs: at - start, genuine: isGenuine(delivery, at) });
      outbox.settled(at, delivery, accepts(delivery, at));
    }
  }
  return got;
}

const always = { probability: 1 } as const;

test('without faults an event comes once, at once, signed so that Stripe’s own client believes it', () => {
  const outbox = outboxWith([]);
  outbox.add(event('e1'));
  outbox.add(event('e2', 5));
  expect(deliverAll(outbox)).toEqual([
    { id: 'e1', afterMs: 0, genuine: true },
    { id: 'e2', afterMs: 5, genuine: true },
  ]);
  expect(outbox.report()).toEqual({ waiting: 0, accepted: 2, givenUp: 0 });
});

describe('what is not accepted (E1)', () => {
  test('is sent again, after waits that double up to a limit, and given up after the last attempt', () => {
    const outbox = outboxWith([], { attemptsMax: 6, retryMs: 100, retryMsMax: 500 });
    outbox.add(event('e1'));
    const got = deliverAll(outbox, () => false);
    expect(got.map(({ afterMs }) => afterMs)).toEqual([0, 100, 300, 700, 1_200, 1_700]);
    expect(outbox.report()).toEqual({ waiting: 0, accepted: 0, givenUp: 1 });
  });

  test('comes in the end when the shop comes back', () => {
    const outbox = outboxWith([]);
    outbox.add(event('e1'));
    deliverAll(outbox, (_, at) => at - start > 10_000);
    expect(outbox.report()).toMatchObject({ accepted: 1, givenUp: 0 });
  });
});

test.for(['otherSecret', 'staleTime', 'alteredBody'] as const)(
  'badly signed (%s): refused by Stripe’s own client, then sent with a good signature (E2)',
  (how) => {
    const outbox = outboxWith([{ fault: 'badlySigned', ...always, how }]);
    outbox.add(event('e1'));
    expect(deliverAll(outbox)).toMatchObject([{ genuine: false }, { id: 'e1', genuine: true }]);
  },
);

test('duplicated: the same event again', () => {
  const outbox = outboxWith([{ fault: 'duplicated', ...always, copies: 2, afterMs: 70 }]);
  outbox.add(event('e1'));
  expect(deliverAll(outbox).map(({ id, afterMs }) => [id, afterMs])).toEqual([
    ['e1', 0],
    ['e1', 70],
    ['e1', 140],
  ]);
});

test('late: by as much as the plan says', () => {
  const outbox = outboxWith([{ fault: 'late', ...always, delayMs: 9_000 }]);
  outbox.add(event('e1'));
  expect(deliverAll(outbox)).toMatchObject([{ id: 'e1', afterMs: 9_000 }]);
});

describe('reordered', () => {
  const reordered: Rule = { fault: 'reordered', ...always, withinMs: 1_000 };

  test('behind the next event of the same payment', () => {
    const outbox = outboxWith([reordered]);
    outbox.add(event('first'));
    outbox.add(event('other payment', 10, 'pi_2'));
    outbox.add(event('second', 400));
    expect(deliverAll(outbox).map(({ id }) => id)).toEqual(['second', 'first', 'other payment']);
  });

  test('but not for ever, when no other one comes', () => {
    const outbox = outboxWith([reordered]);
    outbox.add(event('first'));
    expect(deliverAll(outbox)).toMatchObject([{ id: 'first', afterMs: 1_000 }]);
    outbox.add(event('second', 2_000));
    expect(outbox.report().waiting).toBe(1);
  });
});

test('replayed: an old event with a new signature, beside the new one', () => {
  const outbox = outboxWith([{ fault: 'replayed', ...always, skip: 0, times: 1 }]);
  outbox.add(event('old'));
  deliverAll(outbox);
  outbox.add(event('new', 3_600_000));
  expect(deliverAll(outbox)).toEqual([
    { id: 'old', afterMs: 3_600_000, genuine: true },
    { id: 'new', afterMs: 3_600_000, genuine: true },
  ]);
});

test('dropped: never sent', () => {
  const outbox = outboxWith([{ fault: 'dropped', ...always, times: 1 }]);
  outbox.add(event('lost'));
  outbox.add(event('next'));
  expect(deliverAll(outbox)).toMatchObject([{ id: 'next' }]);
});

test('a shop that is away for long costs no more than the capacity (E3)', () => {
  const outbox = outboxWith([{ fault: 'reordered', probability: 0.5, withinMs: 10 }], { capacity: 50 });
  for (let number = 0; number < 500; number += 1) outbox.add(event(`e${number}`, number, `pi_${number % 7}`));
  const { waiting, givenUp } = outbox.report();
  expect([waiting, givenUp]).toEqual([50, 450]);
  expect(deliverAll(outbox)).toHaveLength(50);
});

test('who made room while it was held back is gone, and nobody else with it (E3)', () => {
  const outbox = outboxWith([{ fault: 'reordered', ...always, withinMs: 1_000 }], { capacity: 1 });
  outbox.add(event('made room', 0, 'pi_1'));
  outbox.add(event('made room too', 1, 'pi_2'));
  outbox.add(event('last', 2, 'pi_1'));
  expect(deliverAll(outbox).map(({ id }) => id)).toEqual(['last']);
  expect(outbox.report()).toMatchObject({ accepted: 1, givenUp: 2 });
});
