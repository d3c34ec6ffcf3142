import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseManifest } from '../../node/functions/manifest.ts';
import { httpInput, manifestText, neighbour, openHost, wasm, writeFunctions } from './support.ts';
import type { GuestSource, ManifestParts } from './support.ts';

/** What a function must be for the program to start with it, and what is said when it is not. */

describe('a manifest', () => {
  const good = manifestText({
    name: 'payment',
    trigger: '{ type: order, on: [registered] }',
    grants: 'payment.authorize, order.cancel',
    timeout: '200ms',
    memory: '4MB',
  });

  it('is read with its units', () => {
    expect(parseManifest(good, 'function.yaml', 'payment')).toEqual({
      name: 'payment',
      trigger: { type: 'order', on: ['registered'] },
      timeoutMs: 200,
      memoryPages: 64,
      call: 'run',
      grants: new Set(['payment.authorize', 'order.cancel']),
      source: 'index.ts',
    });
  });

  const order = '{ type: order, on: [registered] }';
  it.each<[string, string, RegExp]>([
    ['no YAML', 'name: [', /^functions\/payment\/function\.yaml: /],
    ['no document', '', /function\.yaml: .*expected object/],
    ['an unknown key', `${good}\nwasi: true`, /wasi/],
    ['a key given twice', `${good}\nname: payment`, /unique/],
    [
      'the name of another folder',
      good.replace('payment', 'refund'),
      /: name: must be the name of its folder/,
    ],
    ['a name that is a path', good.replace('payment', '../payment'), /: name: lower-case letters/],
    [
      'an unknown effect',
      good.replace('order.cancel', 'order.delete'),
      /: grants\.1: there is no effect order\.delete/,
    ],
    [
      'an effect of no use to the trigger',
      good.replace('order.cancel', 'orders.push'),
      /: grants\.1: orders\.push cannot answer/,
    ],
    ['an unknown fact', good.replace('registered', 'shipped'), /: trigger\.on\.0: /],
    ['no fact', good.replace('[registered]', '[]'), /: trigger\.on: /],
    ['an unknown trigger', good.replace(order, '{ type: pubsub, channel: x }'), /: trigger\.type: /],
    [
      'a route without a slash',
      good.replace(order, '{ type: http, method: POST, path: orders }'),
      /: trigger\.path: /,
    ],
    ['a time-out without unit', good.replace('200ms', '200'), /: execution\.timeout: /],
    ['no time', good.replace('200ms', '0ms'), /: execution\.timeout: must be from 1ms/],
    ['an hour', good.replace('200ms', '3600s'), /: execution\.timeout: must be from 1ms to 60000ms/],
    ['a memory of part of a page', good.replace('4MB', '100KB'), /: execution\.memory: must be a multiple/],
    ['too much memory', good.replace('4MB', '1024MB'), /: execution\.memory: must be at most/],
    ['no call', good.replace('call: run', ''), /: execution\.call: /],
    [
      'no cron',
      good.replace(order, '{ type: timer, cron: "every day", singleton: true }'),
      /: trigger\.cron: /,
    ],
    [
      'a cron with years',
      good.replace(order, '{ type: timer, cron: "* * * * * * *", singleton: true }'),
      /: trigger\.cron: /,
    ],
  ])('with %s is refused by file, key and reason', (_what, text, message) => {
    expect(() => parseManifest(text, 'functions/payment/function.yaml', 'payment')).toThrow(message);
  });
});

function front(source: string | Uint8Array, parts: Partial<ManifestParts> = {}): GuestSource {
  const manifest = manifestText({
    name: 'front',
    trigger: '{ type: http, method: POST, path: /orders }',
    source: 'front.wasm',
    memory: '128KB',
    ...parts,
  });
  return { manifest, source };
}

/** The neighbour of these tests need not be built: nobody calls it. */
const bystander: GuestSource = {
  manifest: neighbour().manifest.replace('index.ts', 'neighbour.wasm'),
  source: wasm({ memory: [1, 1, 1] }),
};

describe('a module', () => {
  const open = async (module: Uint8Array) =>
    openHost({ directory: await writeFunctions({ neighbour: bystander, front: front(module) }) });

  it.each<[string, Uint8Array]>([
    ['without memory', wasm({})],
    ['within its memory', wasm({ memory: [1, 1, 2] })],
    ['with a table', wasm({ memory: [1, 1, 2], table: [1, 0, 16] })],
    ['with an allowed import', wasm({ imports: [['extism:host/env', 'input_length']] })],
  ])('%s is loaded', async (_what, module) => {
    const host = await open(module);
    // It runs, and gives no answer.
    const call = host.callHttp('POST /orders', httpInput());
    await expect(call).rejects.toMatchObject({ code: 'FUNCTION_BAD_OUTPUT' });
  });

  it.each<[string, Uint8Array, RegExp]>([
    [
      'that may outgrow its memory',
      wasm({ memory: [1, 1, 3] }),
      /may grow to 3 pages; execution\.memory allows 2/,
    ],
    ['whose memory has no limit', wasm({ memory: [0, 1] }), /may grow to Infinity pages/],
    ['of 64-bit memory without limit', wasm({ memory: [4, 1] }), /may grow to Infinity pages/],
    ['whose table has no limit', wasm({ table: [0, 1] }), /tables may grow to Infinity/],
    [
      'that wants WASI',
      wasm({ imports: [['wasi_snapshot_preview1', 'fd_write']] }),
      /imports wasi_snapshot_preview1\.fd_write/,
    ],
    [
      'that wants the network',
      wasm({ imports: [['extism:host/env', 'http_request']] }),
      /imports extism:host\/env\.http_request/,
    ],
    [
      'that wants to remember',
      wasm({ imports: [['extism:host/env', 'var_set']] }),
      /imports extism:host\/env\.var_set/,
    ],
    ['without the export', wasm({ name: 'walk' }), /does not export the function run/],
    ['that is none', Uint8Array.of(1, 2, 3), /CompileError/],
  ])('%s is refused', async (_what, module, message) => {
    const opening = open(module);
    await expect(opening).rejects.toMatchObject({ name: 'FunctionSetupError', code: 'FUNCTION_SETUP' });
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow('front.wasm');
  });
});

describe('a folder of functions', () => {
  const module = wasm({});

  it('with two functions for one trigger is refused', async () => {
    const second = front(module);
    const directory = await writeFunctions({
      neighbour: bystander,
      front: front(module),
      other: { ...second, manifest: second.manifest.replace('name: front', 'name: other') },
    });
    await expect(openHost({ directory })).rejects.toThrow(
      /other\/function\.yaml: trigger: front has http POST \/orders already/,
    );
  });

  it('with a trigger that nothing answers is refused', async () => {
    const manifest = bystander.manifest.replace('captured, ', '');
    const directory = await writeFunctions({ neighbour: { ...bystander, manifest } });
    await expect(openHost({ directory })).rejects.toThrow(
      /no function has http POST \/orders, order captured$/,
    );
  });

  it('that was not built is refused, and says what to do', async () => {
    const directory = await writeFunctions({ neighbour: bystander, front: front(module) });
    await rm(`${directory}/front/front.wasm`);
    await expect(openHost({ directory })).rejects.toThrow(
      /front\.wasm: not built yet: run `npm run build:guests`/,
    );
  });
});
