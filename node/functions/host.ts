import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../store/environment.ts';
import type { FunctionInput, TriggerFact } from '../orders/effects.ts';
import type { Deadline } from '../ports/deadline.ts';
import { FunctionError } from '../ports/functions.ts';
import type { Decision, FunctionErrorCode, FunctionHost, TimerFunction } from '../ports/functions.ts';
import { MANIFEST_FILE, PAGE_BYTES, readManifest, TRIGGER_FACTS } from './manifest.ts';
import type { FunctionManifest } from './manifest.ts';
import { decodeOutput } from './output.ts';
import { WorkerPool } from './pool.ts';
import type { PoolObserver, PoolResult } from './pool.ts';
import { Quarantine } from './quarantine.ts';
import { FunctionSetupError } from './setup-error.ts';
import { loadModule, type GuestModule } from './wasm-module.ts';

export interface FunctionHostOptions {
  /** The folder with one folder per function, such as `guest-functions/`. */
  readonly directory: string;
  /** Worker threads, besides one warm spare. Default 1. */
  readonly workers?: number;
  /** Calls that may wait for a worker. Default 10,000. */
  readonly queueMax?: number;
  /** Default 64 KiB. */
  readonly outputBytesMax?: number;
  /** Routes for which there must be a function. Default `POST /orders`. */
  readonly routes?: readonly string[];
}

/** For metrics. Must not throw. */
export interface FunctionObserver extends PoolObserver {
  /** After each call: the time from asking to answer, waiting included. */
  called?(functionName: string, seconds: number, outcome: 'ok' | FunctionErrorCode): void;
}

export interface ExtismFunctionHost extends FunctionHost {
  /** Calls that wait for a worker. */
  readonly queueDepth: number;
}

const QUARANTINE = { timeoutsMax: 3, pauseMs: 5_000 };

interface LoadedFunction extends GuestModule {
  readonly manifest: FunctionManifest;
  readonly index: number;
}

/**
 * Loads every function of a folder and starts the workers. Rejects with FunctionSetupError, which names the
 * file, when one of them cannot be trusted to keep to its manifest, and when a trigger has no function or two.
 */
export async function openFunctionHost(
  options: FunctionHostOptions,
  dependencies: { readonly environment: Environment; readonly observer?: FunctionObserver },
): Promise<ExtismFunctionHost> {
  const functions = await loadFunctions(options.directory);
  const routes = options.routes ?? ['POST /orders'];
  const byTrigger = indexByTrigger(options.directory, functions, routes);
  const pool = await WorkerPool.open(
    {
      guests: functions.map(({ module, manifest }) => ({
        name: manifest.name,
        module,
        call: manifest.call,
        blockBytesMax: manifest.memoryPages * PAGE_BYTES,
      })),
      workers: options.workers ?? 1,
      queueMax: options.queueMax ?? 10_000,
      window: 32,
      outputBytesMax: options.outputBytesMax ?? 65_536,
      startTimeoutMs: 30_000,
      startRetryMs: 1_000,
      callBackAfterMs: 25,
    },
    dependencies,
  );
  return new Host(functions, byTrigger, pool, dependencies);
}

class Host implements ExtismFunctionHost {
  readonly timers: readonly TimerFunction[];
  readonly #byTrigger: ReadonlyMap<string, LoadedFunction>;
  readonly #pool: WorkerPool;
  readonly #environment: Environment;
  readonly #observer: FunctionObserver;
  readonly #quarantines: ReadonlyMap<LoadedFunction, Quarantine>;

  constructor(
    functions: readonly LoadedFunction[],
    byTrigger: ReadonlyMap<string, LoadedFunction>,
    pool: WorkerPool,
    dependencies: { readonly environment: Environment; readonly observer?: FunctionObserver },
  ) {
    this.#byTrigger = byTrigger;
    this.#pool = pool;
    this.#environment = dependencies.environment;
    this.#observer = dependencies.observer ?? {};
    this.#quarantines = new Map(
      functions.map((loaded) => [loaded, new Quarantine(QUARANTINE, dependencies.environment.clock)]),
    );
    this.timers = functions.flatMap(({ manifest: { name, trigger } }) =>
      trigger.type === 'timer' ? [{ name, cron: trigger.cron, singleton: trigger.singleton }] : [],
    );
  }

  get queueDepth(): number {
    return this.#pool.queueDepth;
  }

  callHttp(route: string, input: FunctionInput, deadline?: Deadline): Promise<Decision> {
    return this.#call(`http ${route}`, input, deadline);
  }

  callOrder(fact: TriggerFact, input: FunctionInput): Promise<Decision> {
    return this.#call(`order ${fact}`, input);
  }

  callTimer(name: string, input: FunctionInput): Promise<Decision> {
    return this.#call(`timer ${name}`, input);
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  async #call(trigger: string, input: FunctionInput, deadline?: Deadline): Promise<Decision> {
    const target = this.#byTrigger.get(trigger);
    if (target === undefined) {
      throw new FunctionError('FUNCTION_UNAVAILABLE', trigger, 'no function has this trigger');
    }
    const { name } = target.manifest;
    const startedAt = this.#environment.clock.monotonic();
    const observe = (outcome: 'ok' | FunctionErrorCode) => {
      this.#observer.called?.(name, (this.#environment.clock.monotonic() - startedAt) / 1_000, outcome);
    };
    try {
      const job = { guest: target.index, input: JSON.stringify(input) };
      const quarantine = this.#quarantines.get(target);
      const result = await this.#pool.call(
        job,
        target.manifest.timeoutMs,
        () => quarantine?.refusal(),
        deadline,
      );
      this.#learn(quarantine, name, result);
      const decision = this.#decide(target, result);
      observe('ok');
      return decision;
    } catch (error) {
      if (error instanceof FunctionError) observe(error.code);
      throw error;
    }
  }

  #learn(quarantine: Quarantine | undefined, functionName: string, result: PoolResult): void {
    if (result.kind === 'timeout') {
      quarantine?.timedOut();
      if (quarantine?.active === true) {
        this.#environment.log.error(
          { function: functionName },
          'a function keeps timing out; most calls of it are refused',
        );
      }
    } else if (result.kind === 'output' || result.kind === 'failed') {
      quarantine?.finished();
    }
  }

  #decide(target: LoadedFunction, result: PoolResult): Decision {
    const { name, grants, timeoutMs } = target.manifest;
    switch (result.kind) {
      case 'output':
        this.#log(name, result.log);
        return { effects: decodeOutput(name, grants, result.text), function: name, version: target.version };
      case 'failed':
        this.#log(name, result.log);
        throw new FunctionError(result.code, name, result.detail);
      case 'timeout':
        throw new FunctionError('FUNCTION_TIMEOUT', name, `used up its ${timeoutMs} ms`);
      case 'queueFull':
        throw new FunctionError('FUNCTION_QUEUE_FULL', name, 'too many calls are waiting');
      case 'expired':
        throw new FunctionError('DEADLINE_EXCEEDED', name, 'nobody waits for it any more');
      case 'unavailable':
        throw new FunctionError('FUNCTION_UNAVAILABLE', name, result.reason);
    }
  }

  /** At `debug`, whatever level the guest chose: what it says may quote its input, which holds personal data. */
  #log(functionName: string, lines: readonly { readonly level: string; readonly text: string }[]): void {
    for (const { level, text } of lines) {
      this.#environment.log.debug({ function: functionName, level, text }, 'a function says');
    }
  }
}

async function loadFunctions(directory: string): Promise<readonly LoadedFunction[]> {
  const folders: string[] = [];
  for (const name of (await readdir(directory)).sort()) {
    if (await isFile(join(directory, name, MANIFEST_FILE))) folders.push(name);
  }
  return Promise.all(
    folders.map(async (folderName, index) => {
      const folder = join(directory, folderName);
      const manifest = await readManifest(folder, folderName);
      const guest = await loadModule(join(folder, `${folderName}.wasm`), manifest);
      return { ...guest, manifest, index };
    }),
  );
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

/** Keys are `http POST /orders`, `order registered`, `timer sync-orders`. */
function indexByTrigger(
  directory: string,
  functions: readonly LoadedFunction[],
  routes: readonly string[],
): ReadonlyMap<string, LoadedFunction> {
  const index = new Map<string, LoadedFunction>();
  for (const loaded of functions) {
    for (const trigger of triggersOf(loaded.manifest)) {
      const other = index.get(trigger);
      if (other !== undefined) {
        const file = join(directory, loaded.manifest.name, MANIFEST_FILE);
        throw new FunctionSetupError(file, 'trigger', `${other.manifest.name} has ${trigger} already`);
      }
      index.set(trigger, loaded);
    }
  }
  const needed = [...routes.map((route) => `http ${route}`), ...TRIGGER_FACTS.map((fact) => `order ${fact}`)];
  const missing = needed.filter((trigger) => !index.has(trigger));
  if (missing.length > 0) {
    throw new FunctionSetupError(directory, 'trigger', `no function has ${missing.join(', ')}`);
  }
  return index;
}

function triggersOf({ name, trigger }: FunctionManifest): readonly string[] {
  switch (trigger.type) {
    case 'http':
      return [`http ${trigger.method} ${trigger.path}`];
    case 'order':
      return trigger.on.map((fact) => `order ${fact}`);
    case 'timer':
      return [`timer ${name}`];
  }
}
