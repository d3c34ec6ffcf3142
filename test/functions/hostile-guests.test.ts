import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFunctionHost, type ExtismFunctionHost } from '../../node/functions/host.ts';
import type { TriggerFact } from '../../node/orders/effects.ts';
import type { Decision, FunctionError } from '../../node/ports/functions.ts';
import {
  httpInput,
  manifestText,
  neighbour,
  observe,
  openHost,
  orderInput,
  realEnvironment,
  writeFunctions,
} from './support.ts';

/**
 * Guests that do what they should not. Each takes a fact; `neighbour` takes the rest and must not notice. What
 * the hostile `run` does follows the order's id, so that one module can be well at one call and ill at the next.
 */
const hostileSource = `
  import { Answer, OrderInput } from 'sdk';
  import { Host, Memory } from '@extism/as-pdk';

  function say(text: string): void {
    Host.output(Uint8Array.wrap(String.UTF8.encode(text)));
  }

  export function run(): void {
    const id = OrderInput.read().orderId;
    if (id == 'loop') while (true) {}
    if (id == 'trap') unreachable();
    if (id == 'throw') throw new Error('I give up');
    if (id == 'eat memory') {
      const kept: Uint8Array[] = [];
      while (true) kept.push(new Uint8Array(65536));
    }
    if (id == 'eat host blocks') while (true) Memory.allocate(1 << 20);
    if (id == 'eat block numbers') while (true) Memory.allocate(1);
    if (id == 'recurse') id.length == recurse(1);
    if (id == 'silent') return;
    if (id == 'garbage') return say('{"effects":');
    if (id == 'not UTF-8') return Host.output(Uint8Array.wrap(changetype<ArrayBuffer>(String.UTF16.encode('\\u00ff\\u00fe'))));
    if (id == 'no effects') return say('{}');
    if (id == 'more than effects') return say('{"effects":[],"sudo":true}');
    if (id == 'unknown effect') return say('{"effects":[{"type":"disk.erase"}]}');
    if (id == 'unknown field') return say('{"effects":[{"type":"order.fail","code":"X","refund":1}]}');
    if (id == 'prototype') return say('{"effects":[{"type":"order.fail","code":"X","__proto__":{"a":1}}]}');
    if (id == 'inherited type') return say('{"effects":[{"type":"toString"}]}');
    if (id == 'fraction') return say('{"effects":[{"type":"stock.hold","ttlMs":1.5}]}');
    if (id == 'unsafe integer') return say('{"effects":[{"type":"stock.hold","ttlMs":9007199254740993}]}');
    if (id == 'ungranted') return say('{"effects":[{"type":"order.fail","code":"X"},{"type":"order.fulfil"}]}');
    if (id == 'other kind') return say('{"effects":[{"type":"inventory.pull"}]}');
    if (id == 'many effects') return say('{"effects":[' + '{"type":"order.fail","code":"X"},'.repeat(16) + '{"type":"order.fail","code":"X"}]}');
    if (id == '10 MB') return Host.outputMemory(Memory.allocate(10 << 20));
    const answer = new Answer();
    answer.failOrder(id);
    answer.send();
  }

  function recurse(depth: i32): i32 {
    return depth + recurse(depth + 1) * 2;
  }
`;

const remove: (() => Promise<void>)[] = [];
let directory: string;

beforeAll(async () => {
  const functions = {
    neighbour: neighbour(['paid', 'captured']),
    hostile: {
      manifest: manifestText({
        name: 'hostile',
        trigger: '{ type: order, on: [paid] }',
        grants: 'order.fail, stock.hold',
        timeout: '300ms',
        // Enough for Extism to take 10 MB from it: the size of the output is refused, not its making.
        memory: '16MB',
      }),
      source: hostileSource,
    },
    slow: {
      manifest: manifestText({
        name: 'slow',
        trigger: '{ type: order, on: [captured] }',
        grants: 'order.fail',
        timeout: '10s',
      }),
      source: `
        import { Answer, OrderInput } from 'sdk';
        export function run(): void {
          const id = OrderInput.read().orderId;
          let x: f64 = 1.5;
          for (let i: i64 = 0; i < 40_000_000; i++) x = Math.sqrt(x + <f64>i);
          const answer = new Answer();
          answer.failOrder(x > 0 ? id : 'never');
          answer.send();
        }`,
    },
    front: {
      manifest: manifestText({
        name: 'front',
        trigger: '{ type: http, method: POST, path: /orders }',
        grants: 'reply.refuse',
      }),
      source: `
        import { Answer, HttpInput } from 'sdk';
        export function run(): void {
          const customer = HttpInput.read().customer;
          const answer = new Answer();
          answer.refuse(400, 'ECHO', customer.name, customer.address);
          answer.send();
        }`,
    },
  };
  directory = await writeFunctions(functions, (action) => remove.push(action));
}, 120_000);
afterAll(() => Promise.all(remove.map((action) => action())));

const fails = (id: string) => ({ effects: [{ type: 'order.fail', code: id }] });

describe('a guest that misbehaves', () => {
  const observed = observe();
  let host: ExtismFunctionHost;
  beforeAll(async () => {
    host = await openFunctionHost({ directory }, { environment: realEnvironment(), observer: observed });
  });
  afterAll(() => host.close());

  it.each([
    ['trap', 'FUNCTION_TRAP'],
    ['throw', 'FUNCTION_TRAP'],
    ['eat memory', 'FUNCTION_TRAP'],
    ['eat host blocks', 'FUNCTION_TRAP'],
    ['eat block numbers', 'FUNCTION_TRAP'],
    ['recurse', 'FUNCTION_TRAP'],
    ['silent', 'FUNCTION_BAD_OUTPUT'],
    ['garbage', 'FUNCTION_BAD_OUTPUT'],
    ['not UTF-8', 'FUNCTION_BAD_OUTPUT'],
    ['no effects', 'FUNCTION_BAD_OUTPUT'],
    ['more than effects', 'FUNCTION_BAD_OUTPUT'],
    ['unknown effect', 'FUNCTION_BAD_OUTPUT'],
    ['unknown field', 'FUNCTION_BAD_OUTPUT'],
    ['prototype', 'FUNCTION_BAD_OUTPUT'],
    ['inherited type', 'FUNCTION_BAD_OUTPUT'],
    ['fraction', 'FUNCTION_BAD_OUTPUT'],
    ['unsafe integer', 'FUNCTION_BAD_OUTPUT'],
    ['many effects', 'FUNCTION_BAD_OUTPUT'],
    ['10 MB', 'FUNCTION_BAD_OUTPUT'],
    ['ungranted', 'CAPABILITY_DENIED'],
    ['other kind', 'CAPABILITY_DENIED'],
  ])('%s: its call fails with %s, and nothing else changes', async (id, code) => {
    observed.outcomes.clear();
    const calls = [orderInput('before'), orderInput(id), orderInput('after')].map((input) =>
      host.callOrder('paid', input),
    );
    const others = Array.from({ length: 20 }, (_, i) => host.callOrder('registered', orderInput(`n-${i}`)));

    await expect(calls[1]).rejects.toMatchObject({ name: 'FunctionError', code, functionName: 'hostile' });
    await expect(calls[0]).resolves.toMatchObject(fails('before'));
    await expect(calls[2]).resolves.toMatchObject(fails('after'));
    expect(await Promise.all(others)).toMatchObject(others.map((_, i) => fails(`n-${i}`)));
    expect(observed.outcomes.get('hostile')).toEqual(['ok', code, 'ok']);
    expect(observed.restarts).toEqual([]);
  });

  it('says why it gave up', async () => {
    await expect(host.callOrder('paid', orderInput('throw'))).rejects.toThrow(
      /I give up \(.*index\.ts:\d+:\d+\)/,
    );
  });
});

describe('a guest that loops for ever', () => {
  it('loses its worker; the calls behind it are answered by the spare', async () => {
    const observed = observe();
    const host = await openHost({ directory }, observed);
    const ahead = Array.from({ length: 5 }, (_, i) => host.callOrder('registered', orderInput(`a-${i}`)));
    const loop = host.callOrder('paid', orderInput('loop'));
    // More than travel ahead to a worker, so that some wait in the queue and some behind the loop.
    const behind = Array.from({ length: 100 }, (_, i) => host.callOrder('registered', orderInput(`b-${i}`)));

    await expect(loop).rejects.toMatchObject({ code: 'FUNCTION_TIMEOUT', functionName: 'hostile' });
    expect(await Promise.all(ahead)).toMatchObject(ahead.map((_, i) => fails(`a-${i}`)));
    expect(await Promise.all(behind)).toMatchObject(behind.map((_, i) => fails(`b-${i}`)));
    expect(observed.restarts).toEqual(['timeout']);
  });

  it('at every call is soon refused, so that the others keep their worker', async () => {
    const observed = observe();
    const host = await openHost({ directory }, observed);
    const loops = Array.from({ length: 200 }, () => host.callOrder('paid', orderInput('loop')));
    const after = host.callOrder('registered', orderInput('after'));

    const codes = (await Promise.allSettled(loops)).map((result) =>
      result.status === 'rejected' ? (result.reason as FunctionError).code : 'answered',
    );
    const timeouts = codes.filter((code) => code === 'FUNCTION_TIMEOUT').length;
    // Three are needed; a fourth may have been sent to the spare before the third was known.
    expect(timeouts).toBeGreaterThanOrEqual(3);
    expect(timeouts).toBeLessThanOrEqual(4);
    expect(codes.filter((code) => code === 'FUNCTION_UNAVAILABLE')).toHaveLength(200 - timeouts);
    await expect(after).resolves.toMatchObject(fails('after'));
    expect(observed.restarts).toEqual(Array<string>(timeouts).fill('timeout'));
  });

  it('does not shorten the time of a slow call before it, nor is a slow call taken for it', async () => {
    const host = await openHost({ directory });
    const slow = host.callOrder('captured', orderInput('slow'));
    const loop = host.callOrder('paid', orderInput('loop'));
    await expect(slow).resolves.toMatchObject(fails('slow'));
    await expect(loop).rejects.toMatchObject({ code: 'FUNCTION_TIMEOUT' });
  });
});

describe('the main thread held up for longer than a time-out', () => {
  it('blames no call that was answered meanwhile', async () => {
    const observed = observe();
    const host = await openHost({ directory }, observed);
    const calls = Array.from({ length: 10 }, (_, i) => host.callOrder('paid', orderInput(`c-${i}`)));
    // The calls leave at the end of this turn; the timer and the answers are due in the same later one.
    await Promise.resolve();
    const until = performance.now() + 600;
    while (performance.now() < until);

    expect(await Promise.all(calls)).toMatchObject(calls.map((_, i) => fails(`c-${i}`)));
    expect(observed.restarts).toEqual([]);
  });
});

describe('the queue', () => {
  it('is bounded, to half for one function: what does not fit is refused at once, what fits is answered', async () => {
    const observed = observe();
    const host = await openHost({ directory, queueMax: 100 }, observed);
    const calls = Array.from({ length: 80 }, (_, i) => host.callOrder('registered', orderInput(`q-${i}`)));
    expect(host.queueDepth).toBe(50);

    const settled = await Promise.allSettled(calls);
    for (const [i, result] of settled.entries()) {
      if (i < 50) expect(result).toMatchObject({ status: 'fulfilled', value: fails(`q-${i}`) });
      else expect(result).toMatchObject({ status: 'rejected', reason: { code: 'FUNCTION_QUEUE_FULL' } });
    }
    expect(host.queueDepth).toBe(0);
  });

  it.each([1, 2])('keeps 1,000 calls at once apart, with %i worker(s)', async (workers) => {
    const host = await openHost({ directory, workers });
    const facts: TriggerFact[] = ['registered', 'paid', 'reserved'];
    const calls: Promise<Decision>[] = [];
    for (let i = 0; i < 1_000; i++) {
      calls.push(host.callOrder(facts[i % facts.length] ?? 'paid', orderInput(`order-${i}`)));
    }
    expect(await Promise.all(calls)).toMatchObject(calls.map((_, i) => fails(`order-${i}`)));
  });
});

describe('an instance', () => {
  it('lasts: neither its memory nor the numbers of its blocks run out', async () => {
    const host = await openHost({ directory });
    // Every call takes at least two of 32,000 blocks and leaves some garbage in 1 MB.
    for (let round = 0; round < 20; round++) {
      const calls = Array.from({ length: 1_000 }, (_, i) =>
        host.callOrder('registered', orderInput(`${round}-${i}`)),
      );
      expect(await Promise.all(calls)).toMatchObject(calls.map((_, i) => fails(`${round}-${i}`)));
    }
  });
});

describe('closing', () => {
  it('refuses what is not answered, and what comes later', async () => {
    const host = await openHost({ directory });
    const calls = Array.from({ length: 100 }, () => host.callOrder('paid', orderInput('loop')));
    const settled = Promise.allSettled(calls);
    await host.close();

    for (const result of await settled) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'FUNCTION_UNAVAILABLE' } });
    }
    const late = host.callOrder('paid', orderInput('late'));
    await expect(late).rejects.toMatchObject({ code: 'FUNCTION_UNAVAILABLE' });
  });
});

describe('a call without a function', () => {
  it('is refused', async () => {
    const host = await openHost({ directory });
    const call = host.callHttp('GET /nowhere', httpInput());
    await expect(call).rejects.toMatchObject({ code: 'FUNCTION_UNAVAILABLE' });
  });
});
