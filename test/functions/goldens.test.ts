import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildGuests } from '../../guest-functions/compile.ts';
import { openFunctionHost, type ExtismFunctionHost } from '../../node/functions/host.ts';
import { readManifest, TRIGGER_FACTS, type FunctionManifest } from '../../node/functions/manifest.ts';
import type { FunctionInput, FunctionOutput } from '../../node/orders/effects.ts';
import type { Decision } from '../../node/ports/functions.ts';
import { GUEST_FUNCTIONS, realEnvironment } from './support.ts';

/** Every function that ships, called through the real host with the inputs and outputs kept beside it. */

interface Golden {
  readonly input: FunctionInput;
  readonly output: FunctionOutput;
}

interface Shipped {
  readonly manifest: FunctionManifest;
  readonly goldens: ReadonlyMap<string, Golden>;
}

async function readShipped(name: string): Promise<Shipped> {
  const folder = join(GUEST_FUNCTIONS, name);
  const goldens = new Map<string, Golden>();
  for (const file of await readdir(join(folder, 'golden'))) {
    goldens.set(file, JSON.parse(await readFile(join(folder, 'golden', file), 'utf8')) as Golden);
  }
  return { manifest: await readManifest(folder, name), goldens };
}

const names = (await readdir(GUEST_FUNCTIONS, { withFileTypes: true }))
  .filter((entry) => entry.isDirectory() && entry.name !== 'sdk')
  .map((entry) => entry.name);
const shipped = await Promise.all(names.map(readShipped));

let host: ExtismFunctionHost;

beforeAll(async () => {
  await buildGuests({ directory: GUEST_FUNCTIONS, ifNeeded: true });
  host = await openFunctionHost({ directory: GUEST_FUNCTIONS }, { environment: realEnvironment() });
}, 120_000);
afterAll(() => host.close());

function call(manifest: FunctionManifest, input: FunctionInput): Promise<Decision> {
  switch (input.kind) {
    case 'http':
      return host.callHttp(`${input.request.method} ${input.request.path}`, input);
    case 'order':
      return host.callOrder(input.type, input);
    case 'timer':
      return host.callTimer(manifest.name, input);
  }
}

describe.each(shipped)('$manifest.name', ({ manifest, goldens }) => {
  let version: string;
  beforeAll(async () => {
    const bytes = await readFile(join(GUEST_FUNCTIONS, manifest.name, `${manifest.name}.wasm`));
    version = createHash('sha256').update(bytes).digest('hex');
  });

  it.each([...goldens])('answers as in %s', async (_file, golden) => {
    const decision = await call(manifest, golden.input);
    expect(decision).toMatchObject({ function: manifest.name, version });
    expect(decision.effects).toEqual(golden.output.effects);
  });

  it('has a golden for each of its triggers', () => {
    const inputs = [...goldens.values()].map((golden) => golden.input);
    const { trigger } = manifest;
    if (trigger.type === 'order') {
      const facts = inputs.map((input) => (input.kind === 'order' ? input.type : undefined));
      expect(facts).toEqual(expect.arrayContaining([...trigger.on]));
    } else {
      expect(inputs.map((input) => input.kind)).toContain(trigger.type);
    }
  });

  it('uses every effect it is granted in some golden', () => {
    const used = [...goldens.values()].flatMap(({ output }) => output.effects.map(({ type }) => type));
    expect(new Set(used)).toEqual(manifest.grants);
  });
});

describe('the functions that ship', () => {
  it('cover the whole flow', () => {
    const facts = shipped.flatMap(({ manifest }) =>
      manifest.trigger.type === 'order' ? manifest.trigger.on : [],
    );
    expect(facts.toSorted()).toEqual([...TRIGGER_FACTS].toSorted());
    expect(host.timers).toEqual([
      { name: 'sync-inventory', cron: '0 */5 * * * *', singleton: true },
      { name: 'sync-orders', cron: '* * * * * *', singleton: true },
    ]);
  });
});
