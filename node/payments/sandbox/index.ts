import type { SandboxEvent } from './events.ts';
import type { FaultPlan } from './fault-plan.ts';
import { Faults } from './faults.ts';
import { forgetful, openOperationLog } from './operation-log.ts';
import type { OperationLog } from './operation-log.ts';
import { Outbox } from './outbox.ts';
import type { OutboxReport } from './outbox.ts';
import { openPlanFile } from './plan-file.ts';
import { createServer } from './server.ts';
import { StripeDouble } from './stripe-double.ts';
import { Ticker } from './ticker.ts';
import { WebhookSender } from './webhook-sender.ts';

/**
 * A payment provider for development and tests: a local HTTP server that speaks the part of Stripe's API that
 * the Stripe client uses, so that the client's real code runs against it, and that behaves as badly as it is asked
 * to. It moves no money. Any API key will do.
 */
export interface SandboxOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Ids are drawn from it. A data directory keeps the seed it began with. */
  readonly seed?: string;
  /** Where requests and the fault plan are kept, so that a restart forgets nothing. Without it, they are forgotten. */
  readonly dataDirectory?: string;
  /** Where a customer's browser finds this server, when that is not where it listens. */
  readonly publicUrl?: string;
  /** How late `pm_card_slow` is answered. */
  readonly slowAnswerMs?: number;
  /** How long an idempotency key is remembered. */
  readonly keysKeptForMs?: number;
  /** Where the shop hears what became of its payments. Without it, it has to ask. */
  readonly webhooks?: {
    /** Of one shop, any node of which takes any event. */
    readonly urls: readonly string[];
    readonly secret: string;
    /** As chosen where a shop names its address at Stripe; default those that tell of an outcome. */
    readonly events?: readonly string[];
  };
  /** In force from the start, and in the place of the one that was kept. */
  readonly plan?: FaultPlan;
  /** Told of each request to the API as it arrives. */
  readonly onRequest?: (request: { readonly method: string; readonly path: string }) => void;
  /** Wall-clock time, ms. */
  readonly now?: () => number;
}

export interface Sandbox {
  /** Such as `http://127.0.0.1:9085`. */
  readonly url: string;
  /** Breaks open connections, then resolves when everything answered is written. */
  close(): Promise<void>;
}

export { FaultPlanError, noFaults, parseFaultPlan } from './fault-plan.ts';
export type { FaultName, FaultPlan, Route, Rule } from './fault-plan.ts';
export { Faults } from './faults.ts';
export type { FaultReport } from './faults.ts';
export { hostilePlan } from './hostile-plan.ts';
export type { SandboxSummary } from './summary.ts';

/** What a shop has to hear of: payments that can be captured, were taken or failed, and refunds that end late. */
const eventsUsual: readonly string[] = [
  'payment_intent.amount_capturable_updated',
  'payment_intent.succeeded',
  'payment_intent.payment_failed',
  'payment_intent.canceled',
  'refund.updated',
  'refund.failed',
];

export async function startSandbox(
  options: SandboxOptions,
  dependencies: {
    /** To look at and change from outside while it runs. */
    readonly faults?: Faults;
  } = {},
): Promise<Sandbox> {
  const { dataDirectory, seed: askedSeed = 'sandbox', now = () => Date.now() } = options;
  const opened =
    dataDirectory === undefined
      ? { log: forgetful, seed: askedSeed, requests: [] }
      : await openOperationLog(dataDirectory, askedSeed);
  const planFile = await openPlanFile(dataDirectory);
  const faults = dependencies.faults ?? new Faults();
  const plan = options.plan ?? planFile.kept;
  if (options.plan !== undefined) await planFile.keep(options.plan);

  const post = options.webhooks && openPost(options.webhooks, { faults, log: opened.log, now });
  let url = '';
  const { slowAnswerMs, keysKeptForMs, publicUrl } = options;
  const double = new StripeDouble(
    {
      seed: opened.seed,
      origin: () => publicUrl ?? url,
      ...(slowAnswerMs === undefined ? {} : { slowAnswerMs }),
      ...(keysKeptForMs === undefined ? {} : { keysKeptForMs }),
    },
    { faults, ...(post === undefined ? {} : { onEvent: post.tell }) },
  );
  double.replay(opened.requests);
  if (plan !== undefined) faults.put(now(), plan);

  const ticker = new Ticker({
    now,
    settle: (at) => double.settle(at),
    nextAt: () => double.bank.nextChangeAt(),
  });
  const closing = new AbortController();
  const server = createServer({
    double,
    posted: () => post?.report(),
    log: opened.log,
    keepPlan: (put) => planFile.keep(put),
    onActivity: () => ticker.look(),
    onRequest: options.onRequest ?? (() => undefined),
    now,
    closing: closing.signal,
  });
  try {
    url = await server.listen({ host: options.host, port: options.port });
    ticker.look();
    return {
      url,
      close: async () => {
        closing.abort();
        ticker.stop();
        await post?.close();
        await server.close();
        await opened.log.close();
      },
    };
  } catch (error) {
    await opened.log.close();
    throw error;
  }
}

/** Tells the shop of events, none before what it tells of is written. */
function openPost(
  options: NonNullable<SandboxOptions['webhooks']>,
  { faults, log, now }: { readonly faults: Faults; readonly log: OperationLog; readonly now: () => number },
): {
  readonly tell: (event: SandboxEvent) => void;
  readonly report: () => OutboxReport;
  readonly close: () => Promise<void>;
} {
  const { urls, secret, events = eventsUsual } = options;
  const outbox = new Outbox({ secret }, { faults });
  const sender = new WebhookSender({ urls }, { outbox, now });
  let untold: SandboxEvent[] = [];
  const tellAll = (): void => {
    const told = untold;
    untold = [];
    // Appends are written in order: whatever these events tell of is among what was appended by now.
    void log.written().then(() => {
      for (const event of told) outbox.add(event);
      sender.look();
    });
  };
  return {
    tell: (event) => {
      if (!events.includes(event.type)) return;
      if (untold.length === 0) setImmediate(tellAll);
      untold.push(event);
    },
    report: () => outbox.report(),
    close: () => sender.close(),
  };
}
