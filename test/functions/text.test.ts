import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFunctionHost, type ExtismFunctionHost } from '../../node/functions/host.ts';
import { WorkerPool } from '../../node/functions/pool.ts';
import type { Effect, HttpInput } from '../../node/orders/effects.ts';
import { httpInput, manifestText, neighbour, realEnvironment, writeFunctions } from './support.ts';

/** Text and numbers cross the boundary unchanged, whatever they are. Seeded by fast-check, which prints the seed. */

const remove: (() => Promise<void>)[] = [];
let host: ExtismFunctionHost;
let pool: WorkerPool;

beforeAll(async () => {
  const functions = {
    neighbour: neighbour(),
    echo: {
      manifest: manifestText({
        name: 'echo',
        trigger: '{ type: http, method: POST, path: /orders }',
        grants: 'order.register, reply.refuse',
      }),
      source: `
        import { Answer, HttpInput } from 'sdk';
        export function run(): void {
          const input = HttpInput.read();
          const answer = new Answer();
          answer.refuse(400, 'C' + input.customer.id, input.customer.name, input.customer.address);
          if (input.lines.length > 0) answer.registerOrder(input.currency, input.at, input.lines);
          answer.send();
        }`,
    },
  };
  const directory = await writeFunctions(functions, (action) => remove.push(action));
  host = await openFunctionHost({ directory }, { environment: realEnvironment() });
  pool = await openPool(join(directory, 'echo', 'echo.wasm'));
}, 120_000);
afterAll(async () => {
  await host.close();
  await pool.close();
  await Promise.all(remove.map((action) => action()));
});

async function openPool(file: string): Promise<WorkerPool> {
  const module = new WebAssembly.Module(await readFile(file));
  return WorkerPool.open(
    {
      guests: [{ name: 'echo', module, call: 'run', blockBytesMax: 1 << 20 }],
      workers: 1,
      queueMax: 100,
      window: 32,
      outputBytesMax: 65_536,
      startTimeoutMs: 30_000,
      startRetryMs: 1_000,
      callBackAfterMs: 25,
    },
    { environment: realEnvironment() },
  );
}

async function echo(input: HttpInput): Promise<Effect | undefined> {
  return (await host.callHttp('POST /orders', input)).effects[0];
}

/** Every code unit there is, paired or not; and the characters that JSON treats specially, often. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({
    unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
    maxLength: 60,
  }),
  fc.string({
    unit: fc.constantFrom(
      '"',
      '\\',
      '/',
      '\b',
      '\f',
      '\n',
      '\r',
      '\t',
      '\0',
      '\u007f',
      '\u2028',
      '🫖',
      '\ud83d',
      '\ude00',
      'u0041',
    ),
    maxLength: 60,
  }),
);

const RUNS = 2_000;

describe('the customer', () => {
  it('may have any name and address', async () => {
    const property = fc.asyncProperty(anyText, anyText, anyText, async (id, name, address) => {
      const effect = await echo(
        httpInput({ customer: { id: id.slice(0, 50), email: address, name, address } }),
      );
      expect(effect).toEqual({
        type: 'reply.refuse',
        status: 400,
        code: `C${id.slice(0, 50)}`,
        detail: address,
        field: name,
      });
    });
    await fc.assert(property, { numRuns: RUNS });
  });

  it('may have neither', async () => {
    expect(await echo(httpInput())).toMatchObject({ field: '', detail: '' });
  });
});

describe('numbers', () => {
  it('are exact up to 2^53 − 1', async () => {
    const whole = fc.oneof(
      fc.maxSafeNat(),
      fc.integer({ min: 0, max: 100 }).map((n) => Number.MAX_SAFE_INTEGER - n),
    );
    const property = fc.asyncProperty(whole, whole, async (at, quantity) => {
      const line = { sku: 'MUG', quantity: Math.max(1, quantity) };
      const decision = await host.callHttp('POST /orders', { ...httpInput({ lines: [line] }), at });
      expect(decision.effects[1]).toMatchObject({ total: at, lines: [{ ...line, unitPrice: 0 }] });
    });
    await fc.assert(property, { numRuns: RUNS });
  });

  it.each([1.5, 1e300, 2 ** 53, -(2 ** 53)])(
    'that are not whole and exact, such as %d, stop the call',
    async (at) => {
      await expect(echo({ ...httpInput(), at })).rejects.toMatchObject({ code: 'FUNCTION_TRAP' });
    },
  );
});

describe('JSON that this host would write otherwise', () => {
  // Straight to the workers: the host always sends what JSON.stringify makes.
  const say = async (text: string): Promise<string> => {
    const result = await pool.call({ guest: 0, input: text }, 5_000);
    return result.kind === 'output' ? result.text : result.kind;
  };
  const customer = (text: string) => `{"request":{"body":{"customer":{"name":${text}}}}}`;

  it.each([
    ['"a\\/b"', 'a/b'],
    ['"\\u0041\\u00e9\\uD83E\\udED6"', 'Aé🫖'],
    ['"\\"\\\\\\b\\f\\n\\r\\t"', '"\\\b\f\n\r\t'],
    ['"\u007f\u2028"', '\u007f\u2028'],
    [' \t\r\n "x" \n', 'x'],
  ])('%s is read as %j', async (written, meant) => {
    const answer = JSON.parse(await say(customer(written))) as {
      effects: { detail: string; field: string }[];
    };
    expect(JSON.parse(written)).toBe(meant);
    expect(answer.effects[0]?.field).toBe(meant);
  });

  it('is read with escapes in names', async () => {
    expect(await say('{"\\u0072equest":{"body":{"customer":{"n\\u0061me":"Ada"}}}}')).toContain(
      '"field":"Ada"',
    );
  });

  it.each([
    ...[
      '',
      '[]',
      '{',
      '{"at"}',
      '{"at":}',
      '{"at":1,}',
      '{,"at":1}',
      '{"at":1 "x":2}',
      '{"at":1}}',
      '{"at":1}x',
    ],
    ...[
      '{"at":01}',
      '{"at":-}',
      '{"at":+1}',
      '{"at":1.0}',
      '{"at":1e3}',
      '{"at":"1"}',
      '{"at":9007199254740992}',
    ],
    ...['{"at":99999999999999999999999999}', '{"x":]}', '{"x":[}', '{"x":"', '{"x":"\\', '{"x":"a\nb"}'],
    ...[customer('"\\x"'), customer('"\\u12"'), customer('"\\u12G4"'), customer('"\n"'), customer('null')],
  ])('%s is refused: it is not JSON, or not what was agreed', async (text) => {
    expect(await say(text)).toBe('failed');
  });
});

describe('members that the SDK does not know', () => {
  it('are skipped, whatever they hold', async () => {
    const property = fc.asyncProperty(fc.string(), fc.jsonValue(), async (name, value) => {
      const input = httpInput({ customer: { id: '1', email: 'e', name: 'Ada' } });
      const extended = { [`x${name}`]: value, ...input } as HttpInput;
      expect(await echo(extended)).toMatchObject({ code: 'C1', field: 'Ada' });
    });
    await fc.assert(property, { numRuns: RUNS });
  });
});
