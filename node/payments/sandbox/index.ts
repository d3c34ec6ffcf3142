import { Bank } from './bank.ts';
import { Desk } from './desk.ts';
import { noFaults } from './faults.ts';
import type { FaultPlan } from './faults.ts';
import { IdempotencyKeys } from './idempotency.ts';
import { forgetful, openOperationLog } from './operation-log.ts';
import { createServer } from './server.ts';

/**
 * A payment provider for development and tests: a local HTTP server that speaks the part of Stripe's API that
 * the Stripe client uses, so that the client's real code runs against it. It moves no money. Any API key will do.
 */
export interface SandboxOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Ids are drawn from it. A data directory keeps the seed it began with. */
  readonly seed?: string;
  /** Where requests are kept, so that a restart forgets nothing. Without it, they are forgotten. */
  readonly dataDirectory?: string;
  /** How late `pm_card_slow` is answered. */
  readonly slowAnswerMs?: number;
  /** How long an idempotency key is remembered. */
  readonly keysKeptForMs?: number;
  readonly faults?: FaultPlan;
  /** Wall-clock time, ms. */
  readonly now?: () => number;
}

export interface Sandbox {
  /** Such as `http://127.0.0.1:9085`. */
  readonly url: string;
  /** Breaks open connections, then resolves when everything answered is written. */
  close(): Promise<void>;
}

export type { Fault, FaultPlan, SandboxRequest } from './faults.ts';
export type { SandboxSummary } from './summary.ts';

const dayMs = 24 * 3_600_000;

export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { dataDirectory, seed: askedSeed = 'sandbox' } = options;
  const opened =
    dataDirectory === undefined
      ? { log: forgetful, seed: askedSeed, requests: [] }
      : await openOperationLog(dataDirectory, askedSeed);
  const bank = new Bank(opened.seed);
  const keys = new IdempotencyKeys({ keptForMs: options.keysKeptForMs ?? dayMs });
  const desk = new Desk({ bank, keys, log: opened.log });
  for (const request of opened.requests) desk.replay(request);

  const closing = new AbortController();
  const server = createServer({
    bank,
    desk,
    faults: options.faults ?? noFaults,
    now: options.now ?? (() => Date.now()),
    slowAnswerMs: options.slowAnswerMs ?? 2_000,
    closing: closing.signal,
  });
  try {
    const url = await server.listen({ host: options.host, port: options.port });
    return {
      url,
      close: async () => {
        closing.abort();
        await server.close();
        await opened.log.close();
      },
    };
  } catch (error) {
    await opened.log.close();
    throw error;
  }
}
