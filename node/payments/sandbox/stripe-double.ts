import { createHash } from 'node:crypto';

import { Bank } from './bank.ts';
import type { Outcome } from './bank.ts';
import { Desk } from './desk.ts';
import { eventsOf } from './events.ts';
import type { SandboxEvent } from './events.ts';
import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import type { Route } from './fault-plan.ts';
import { Faults } from './faults.ts';
import type { Misfortunes } from './faults.ts';
import { nested, parseForm } from './form.ts';
import { IdempotencyKeys } from './idempotency.ts';
import { listIntents, listRefunds } from './lists.ts';
import type { Listing } from './lists.ts';
import type { LoggedRequest } from './operation-log.ts';
import { routeOf } from './routes.ts';
import { behaviourOf } from './test-methods.ts';
import { authenticationPath, bodyOf, errorObject, intentObject, refundObject, statusOf } from './wire.ts';
import type { Expand, View } from './wire.ts';

/**
 * Stripe as its clients see it, without sockets, files and clocks: a request and a time in, an answer or a broken
 * connection out. The sandbox server puts HTTP around it; a simulation may put anything else. Owns the bank, the
 * keys and the faults of the way there and back.
 *
 *   S1  A fault changes what a client is told, or what the bank is asked; what the bank holds always keeps B1 to B4.
 *   S2  What is turned away ahead of the idempotency layer (429, 5xx of the edge) is neither done nor remembered.
 */
export interface ProviderRequest {
  /** ms. */
  readonly at: number;
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Form-encoded. */
  readonly body: string;
  readonly authorization?: string | undefined;
  readonly idempotencyKey?: string | undefined;
}

export interface ProviderReply {
  /** Absent: the connection breaks instead. */
  readonly answer?: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    /** For JSON. */
    readonly body: unknown;
  };
  /** How long after the request. */
  readonly delayMs: number;
  /** To be kept before the reply leaves. */
  readonly logged?: LoggedRequest;
  /** To be called when the reply has left, or never will: until then its key is in use. */
  readonly sent: () => void;
}

export interface StripeDoubleOptions {
  /** Ids are drawn from it. */
  readonly seed: string;
  /** Where a customer's browser finds the sandbox. */
  readonly origin: () => string;
  /** How late `pm_card_slow` is answered. */
  readonly slowAnswerMs?: number;
  /** How long an idempotency key is remembered. */
  readonly keysKeptForMs?: number;
}

const dayMs = 24 * 3_600_000;
const slowAnswerMsUsual = 2_000;
const nothingToEnd = (): void => undefined;

export class StripeDouble {
  readonly faults: Faults;
  readonly bank: Bank;
  readonly #options: StripeDoubleOptions;
  readonly #desk: Desk;
  readonly #onEvent: ((event: SandboxEvent) => void) | undefined;
  #changes = 0;
  #requests = 0;
  #isReplaying = false;

  constructor(
    options: StripeDoubleOptions,
    dependencies: {
      readonly faults?: Faults;
      /** Hears of what Stripe would tell by webhook. */
      readonly onEvent?: (event: SandboxEvent) => void;
    } = {},
  ) {
    this.#options = options;
    this.faults = dependencies.faults ?? new Faults();
    this.#onEvent = dependencies.onEvent;
    this.bank = new Bank(options.seed, (change) => {
      this.#changes += 1;
      if (this.#onEvent === undefined || this.#isReplaying) return;
      const made = { seed: options.seed, number: this.#changes, origin: options.origin() };
      eventsOf(change, made).forEach(this.#onEvent);
    });
    const keys = new IdempotencyKeys({ keptForMs: options.keysKeptForMs ?? dayMs });
    this.#desk = new Desk({ bank: this.bank, keys });
  }

  /** Carries out what was logged before a restart. What the shop was told of it then is not told again. */
  replay(logged: readonly LoggedRequest[]): void {
    this.#isReplaying = true;
    for (const request of logged) this.#desk.replay(request);
    this.#isReplaying = false;
  }

  /** Lets happen what happens by itself, and is told by webhook, up to `at` ms. */
  settle(at: number): void {
    this.bank.settle(at);
  }

  handle(request: ProviderRequest): ProviderReply {
    const { at, method } = request;
    const path = request.url.split('?', 1)[0] ?? '';
    const route = routeOf(method, path);
    this.bank.settle(at);
    if (route === undefined) return this.#refuse(failures.noSuchRoute(method, path));
    this.faults.arrived(route);
    const misfortunes = this.faults.at(at);

    if (misfortunes.strike('dropRequest', route) !== undefined) return { delayMs: 0, sent: nothingToEnd };
    const limited = misfortunes.strike('rateLimit', route);
    if (limited !== undefined) {
      const { retryAfterSeconds } = limited;
      const headers = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
      return this.#refuse(failures.rateLimited(), headers);
    }
    const broken = misfortunes.strike('serverErrorOnce', route);
    if (broken !== undefined) return this.#refuse(failures.broken(broken.status));
    if (!/^(Bearer|Basic) \S/.test(request.authorization ?? '')) return this.#refuse(failures.noApiKey());

    const reply =
      method === 'POST'
        ? this.#change(request, path, route, misfortunes)
        : this.#read(request, path, misfortunes);
    const late = misfortunes.strike('lateReply', route);
    const delayMs = reply.delayMs + (late?.delayMs ?? 0);
    if (misfortunes.strike('dropReply', route) === undefined) return { ...reply, delayMs };
    const { answer: _, ...rest } = reply;
    return { ...rest, delayMs };
  }

  /** What the customer did on the authentication page. No fault strikes the way there: it is not the shop's. */
  authenticate(at: number, intentId: string, outcome: string): ProviderReply {
    const body = new URLSearchParams({ outcome }).toString();
    const path = authenticationPath(intentId);
    const misfortunes = withoutOutages(this.faults.at(at));
    return this.#change({ at, method: 'POST', url: path, body }, path, 'confirm', misfortunes);
  }

  #change(
    { at, body, idempotencyKey: key }: ProviderRequest,
    path: string,
    route: Route,
    misfortunes: Misfortunes,
  ): ProviderReply {
    this.#requests += 1;
    const drawn = createHash('sha1').update(`${this.#options.seed}:${at}:${this.#requests}`).digest();
    const requestId = ['req', drawn.toString('hex', 0, 7)].join('_');
    const { outcome, replayOf, logged, sent } = this.#desk.take({
      at,
      requestId,
      path,
      body,
      key,
      route,
      misfortunes,
    });
    const headers = {
      'request-id': requestId,
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...(replayOf === undefined ? {} : { 'idempotent-replayed': 'true', 'original-request': replayOf }),
    };
    return {
      answer: { status: statusOf(outcome), headers, body: bodyOf(outcome, this.#view(expandIn(body))) },
      delayMs: replayOf === undefined && isSlow(route, outcome) ? this.#slowAnswerMs() : 0,
      ...(logged === undefined ? {} : { logged }),
      sent,
    };
  }

  #read({ at, url }: ProviderRequest, path: string, misfortunes: Misfortunes): ProviderReply {
    const encoded = url.slice(path.length + 1);
    const query = Object.fromEntries(parseForm(encoded));
    const expand = expandIn(encoded);
    // In lists and searches, expansions are asked for below `data`.
    const view = this.#view(new Set([...expand].map((name) => name.replace(/^data\.?/, ''))));
    const [, , kind, id] = path.split('/');
    if (id === 'search') return this.#search(at, query['query'] ?? '', view, misfortunes);
    if (kind === 'refunds') {
      if (id === undefined) return this.#list(listRefunds(this.bank, query));
      const refund = this.bank.refund(id);
      return refund === undefined
        ? this.#refuse(failures.noSuchRefund(id))
        : this.#show(refundObject(refund));
    }
    if (id === undefined) return this.#list(listIntents(this.bank, query, view));
    const intent = this.bank.intent(id);
    return intent === undefined
      ? this.#refuse(failures.noSuchIntent(id))
      : this.#show(intentObject(intent, this.#view(expand)));
  }

  /** Of Stripe's query language, the one clause that finds an order's payments. */
  #search(at: number, query: string, view: View, misfortunes: Misfortunes): ProviderReply {
    const [, orderId] = /^metadata\[['"]order_id['"]\]:\s*['"]((?:[^'"\\]|\\.)+)['"]$/.exec(query) ?? [];
    if (orderId === undefined) return this.#refuse(failures.invalidParameter('query', query));
    const lagMs = misfortunes.strike('searchLags', 'search')?.lagMs ?? 0;
    const data = this.bank
      .intentsOf(orderId.replaceAll(/\\(.)/g, '$1'))
      .filter(({ created }) => created * 1_000 + lagMs <= at)
      .toReversed()
      .map((intent) => intentObject(intent, view));
    const url = '/v1/payment_intents/search';
    return this.#show({ object: 'search_result', data, has_more: false, next_page: null, url });
  }

  #list(listing: Listing): ProviderReply {
    return listing.kind === 'list' ? this.#show(listing.list) : this.#refuse(listing.failure);
  }

  #show(body: unknown): ProviderReply {
    return { answer: { status: 200, headers: {}, body }, delayMs: 0, sent: nothingToEnd };
  }

  #refuse(failure: Failure, headers: Readonly<Record<string, string>> = {}): ProviderReply {
    const body = errorObject(failure, this.#view(new Set()));
    return { answer: { status: failure.status, headers, body }, delayMs: 0, sent: nothingToEnd };
  }

  #view(expand: Expand): View {
    return { expand, origin: this.#options.origin() };
  }

  #slowAnswerMs(): number {
    return this.#options.slowAnswerMs ?? slowAnswerMsUsual;
  }
}

function withoutOutages(misfortunes: Misfortunes): Misfortunes {
  return {
    strike: (fault, route, applies) =>
      fault === 'serverError' ? undefined : misfortunes.strike(fault, route, applies),
  };
}

/** Only charging the card takes long. */
function isSlow(route: Route, outcome: Outcome): boolean {
  if (outcome.kind !== 'intent' || (route !== 'create' && route !== 'confirm')) return false;
  const behaviour = behaviourOf(outcome.intent.method ?? '');
  return behaviour?.kind === 'succeeds' && behaviour.slow;
}

/** `expand[0]=latest_charge.refunds` also means `latest_charge`. */
function expandIn(encoded: string): Expand {
  const expand = new Set<string>();
  if (!encoded.includes('expand')) return expand;
  for (const path of Object.values(nested(parseForm(encoded), 'expand'))) {
    path.split('.').forEach((_, index, words) => expand.add(words.slice(0, index + 1).join('.')));
  }
  return expand;
}
