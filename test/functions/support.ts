import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { buildGuests } from '../../guest-functions/compile.ts';
import { openFunctionHost } from '../../node/functions/host.ts';
import type { ExtismFunctionHost, FunctionHostOptions, FunctionObserver } from '../../node/functions/host.ts';
import type { FunctionSettings, HttpInput, OrderInput } from '../../node/orders/effects.ts';
import type { FunctionErrorCode } from '../../node/ports/functions.ts';
import type { Environment } from '../../store/environment.ts';
import { systemEnvironment } from '../../node/system.ts';

export const GUEST_FUNCTIONS = join(import.meta.dirname, '../../guest-functions');

/** Threads take real time, so these tests run on the machine's clock. */
export function realEnvironment(): Environment {
  const nothing = () => undefined;
  return systemEnvironment({ debug: nothing, info: nothing, warn: nothing, error: nothing }, (error) => {
    throw error;
  });
}

export interface Observed extends FunctionObserver {
  readonly outcomes: Map<string, (FunctionErrorCode | 'ok')[]>;
  readonly restarts: string[];
}

export function observe(): Observed {
  const outcomes = new Map<string, (FunctionErrorCode | 'ok')[]>();
  const restarts: string[] = [];
  return {
    outcomes,
    restarts,
    called: (name, _seconds, outcome) => outcomes.set(name, [...(outcomes.get(name) ?? []), outcome]),
    workerRestarted: (reason) => restarts.push(reason),
  };
}

/** A host that closes with the test that opened it. */
export async function openHost(
  options: FunctionHostOptions,
  observer: FunctionObserver = {},
): Promise<ExtismFunctionHost> {
  const host = await openFunctionHost(options, { environment: realEnvironment(), observer });
  onTestFinished(() => host.close());
  return host;
}

export interface GuestSource {
  /** YAML. */
  readonly manifest: string;
  /** AssemblyScript, or the bytes of a module. */
  readonly source: string | Uint8Array;
}

/** Writes functions to a folder of their own and builds those that are source. */
export async function writeFunctions(
  functions: Readonly<Record<string, GuestSource>>,
  keep: (remove: () => Promise<void>) => void = onTestFinished,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'functions-'));
  keep(() => rm(directory, { recursive: true, force: true }));
  for (const [name, { manifest, source }] of Object.entries(functions)) {
    const folder = join(directory, name);
    await mkdir(folder);
    await writeFile(join(folder, 'function.yaml'), manifest);
    if (typeof source === 'string') {
      await writeFile(join(folder, 'index.ts'), source);
    } else {
      await writeFile(join(folder, `${name}.wasm`), source);
    }
  }
  await buildGuests({ directory, ifNeeded: true });
  return directory;
}

export interface ManifestParts {
  readonly name: string;
  readonly trigger: string;
  readonly grants?: string;
  readonly call?: string;
  readonly timeout?: string;
  readonly memory?: string;
  readonly source?: string;
}

export function manifestText(parts: ManifestParts): string {
  return [
    `name: ${parts.name}`,
    `trigger: ${parts.trigger}`,
    `execution: { timeout: ${parts.timeout ?? '5s'}, memory: ${parts.memory ?? '4MB'}, call: ${parts.call ?? 'run'} }`,
    `grants: [${parts.grants ?? ''}]`,
    `source: ${parts.source ?? 'index.ts'}`,
  ].join('\n');
}

const ALL_FACTS =
  'registered, paid, paymentRefused, reserved, captured, captureRefused, outOfStock, holdLost, reversed';

/** A quiet neighbour for functions under test: takes every fact that is not named. */
export function neighbour(except: readonly string[] = []): GuestSource {
  const facts = ALL_FACTS.split(', ').filter((fact) => !except.includes(fact));
  return {
    manifest: manifestText({
      name: 'neighbour',
      memory: '1MB',
      trigger: `{ type: order, on: [${facts.join(', ')}] }`,
      grants: 'order.fail',
    }),
    source: `
      import { Answer, OrderInput } from 'sdk';
      export function run(): void {
        const answer = new Answer();
        answer.failOrder(OrderInput.read().orderId);
        answer.send();
      }`,
  };
}

/** A module of `run`, which does nothing unless `body` says otherwise, and of what else is asked for. WebAssembly Core Specification, 5.5. */
export function wasm(parts: {
  readonly imports?: readonly (readonly [space: string, name: string])[];
  /** Limits as they are encoded: flags, minimum, maximum. */
  readonly memory?: readonly number[];
  readonly table?: readonly number[];
  readonly name?: string;
  /** Instructions of `run`, without the closing `end`. */
  readonly body?: readonly number[];
  /** Calls `run` when the module is instantiated. */
  readonly start?: boolean;
}): Uint8Array {
  const text = (value: string) => [value.length, ...Buffer.from(value)];
  const section = (id: number, ...items: (readonly number[])[]) => {
    const body = [items.length, ...items.flat()];
    return [id, body.length, ...body];
  };
  const imports = (parts.imports ?? []).map(([space, name]) => [...text(space), ...text(name), 0x00, 0]);
  const body = parts.body ?? [];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [0x60, 0, 0]),
    ...section(2, ...imports),
    ...section(3, [0]),
    ...(parts.table === undefined ? [] : section(4, [0x70, ...parts.table])),
    ...(parts.memory === undefined ? [] : section(5, parts.memory)),
    ...section(7, [...text(parts.name ?? 'run'), 0x00, imports.length]),
    ...(parts.start === true ? [8, 1, imports.length] : []),
    ...section(10, [body.length + 2, 0, ...body, 0x0b]),
  ]);
}

export const UNREACHABLE = [0x00];
/** `loop (br 0) end` */
export const LOOP_FOR_EVER = [0x03, 0x40, 0x0c, 0x00, 0x0b];

const SETTINGS: FunctionSettings = {
  capture: 'after-reserve',
  holdTtlMs: 900_000,
  holdTtlMsMax: 86_400_000,
  maxQuantity: 10_000,
};

export function httpInput(changes: Partial<HttpInput['request']['body']> = {}): HttpInput {
  return {
    abi: 1,
    kind: 'http',
    at: 1_795_000_000_000,
    orderId: 'o-1',
    request: {
      method: 'POST',
      path: '/orders',
      body: {
        customer: { id: 'c-1', email: 'ada@example.com' },
        currency: 'EUR',
        lines: [{ sku: 'MUG', quantity: 1 }],
        payment: { method: 'pm_card_visa' },
        ...changes,
      },
    },
    products: [{ sku: 'MUG', name: 'Mug', unitPrice: 1_250, currency: 'EUR' }],
    settings: SETTINGS,
  };
}

export function orderInput(id: string, changes: Partial<OrderInput> = {}): OrderInput {
  return {
    abi: 1,
    kind: 'order',
    at: 1_795_000_000_000,
    type: 'registered',
    code: '',
    order: {
      id,
      state: 'registered',
      currency: 'EUR',
      total: 1_250,
      lines: [{ sku: 'MUG', quantity: 1, unitPrice: 1_250 }],
      capture: 'after-reserve',
      cancelRequested: false,
      paymentStatus: 'pending',
    },
    products: [],
    settings: SETTINGS,
    ...changes,
  };
}
