import { expect, test } from 'vitest';

import { Breaker } from '../../node/payments/breaker.ts';
import type { CallOutcome } from '../../node/payments/breaker.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function circuit() {
  const clock = new VirtualClock();
  const breaker = new Breaker(
    { window: 10, callsMin: 4, failureRatio: 0.5, openMs: 100, openMsMax: 300 },
    { clock, random: () => 0 },
  );
  const calls = (...outcomes: readonly CallOutcome[]): void => {
    for (const outcome of outcomes) if (breaker.begin()) breaker.report(outcome);
  };
  return { clock, breaker, calls };
}

test('opens when half of the late calls failed, and not on the first few (C1)', () => {
  const { breaker, calls } = circuit();
  calls('failed', 'failed', 'failed');
  expect(breaker.state()).toBe('closed');
  calls('ok', 'ok', 'ok', 'ok', 'failed');
  expect(breaker.state()).toBe('open');
  expect(breaker.begin()).toBe(false);
});

test('who listens hears of each closing, and of nothing else (C3)', async () => {
  const { breaker, calls, clock } = circuit();
  let closed = 0;
  const stop = breaker.onClosed(() => (closed += 1));
  calls('ok', 'failed', 'failed', 'failed', 'failed');
  await clock.advance(100);
  calls('failed');
  await clock.advance(200);
  expect(closed).toBe(0);
  calls('ok', 'ok', 'ok');
  expect(closed).toBe(1);
  stop();
  calls('failed', 'failed', 'failed', 'failed');
  await clock.advance(100);
  calls('ok');
  expect([breaker.state(), closed]).toEqual(['closed', 1]);
});

test('old failures are forgotten, and rate limits do not count (C1)', () => {
  const { breaker, calls } = circuit();
  calls('failed', 'failed', 'failed', ...Array.from({ length: 10 }, () => 'ok' as const));
  calls('neutral', 'neutral', 'neutral', 'neutral', 'failed', 'failed', 'failed', 'failed');
  expect(breaker.state()).toBe('closed');
  calls('failed');
  expect(breaker.state()).toBe('open');
});

test('half open, one call tries; it closes the circuit or keeps it open for longer, up to a bound (C2)', async () => {
  const { breaker, calls, clock } = circuit();
  calls('failed', 'failed', 'failed', 'failed');
  for (const pauseMs of [100, 200, 300, 300]) {
    await clock.advance(pauseMs - 1);
    expect(breaker.state()).toBe('open');
    await clock.advance(1);
    expect(breaker.state()).toBe('half-open');
    expect(breaker.begin()).toBe(true);
    expect(breaker.begin()).toBe(false);
    breaker.report('failed');
  }
  await clock.advance(300);
  calls('ok');
  expect(breaker.state()).toBe('closed');
  calls('failed', 'failed', 'failed');
  expect(breaker.state()).toBe('closed');
});

test('what began before the circuit opened changes nothing', () => {
  const { breaker, calls } = circuit();
  for (let call = 0; call < 6; call += 1) expect(breaker.begin()).toBe(true);
  calls('failed', 'failed', 'failed', 'failed');
  breaker.report('ok');
  expect(breaker.state()).toBe('open');
});
