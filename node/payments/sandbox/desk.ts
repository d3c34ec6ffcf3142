import type { Bank, Operation, Outcome } from './bank.ts';
import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import type { Route } from './fault-plan.ts';
import type { Misfortunes, Strike } from './faults.ts';
import { fingerprintOf, parseForm } from './form.ts';
import type { Form } from './form.ts';
import type { IdempotencyKeys } from './idempotency.ts';
import type { LoggedRequest } from './operation-log.ts';

/**
 * Takes requests that change something: checks the idempotency key, has the bank carry them out, remembers the
 * answer. Pure; whoever asks keeps `logged` before it tells anybody of the outcome.
 *
 *   D1  Of all requests with one key exactly one is carried out as long as the key is remembered; the others get its
 *       answer, or a refusal.
 *   D2  What is logged, replayed in the same order, gives the same bank and the same keys, faults included.
 */
export interface DeskRequest {
  readonly at: number;
  readonly requestId: string;
  readonly path: string;
  readonly body: string;
  readonly key: string | undefined;
  readonly route: Route;
  readonly misfortunes: Misfortunes;
}

export interface DeskAnswer {
  readonly outcome: Outcome;
  /** The request that was answered first, when this one only got its answer again. */
  readonly replayOf?: string;
  /** To be kept before the answer leaves. */
  readonly logged?: LoggedRequest;
  /** To be called when the answer has left: until then the key is in use. */
  readonly sent: () => void;
}

const keyLengthMax = 255;
const nothingToEnd = (): void => undefined;

export class Desk {
  readonly #bank: Bank;
  readonly #keys: IdempotencyKeys;

  constructor(dependencies: { readonly bank: Bank; readonly keys: IdempotencyKeys }) {
    this.#bank = dependencies.bank;
    this.#keys = dependencies.keys;
  }

  take(request: DeskRequest): DeskAnswer {
    const { at, path, body, key, requestId, route, misfortunes } = request;
    const refuse = (failure: Failure): DeskAnswer => ({
      outcome: { kind: 'failed', failure },
      sent: nothingToEnd,
    });

    if (key !== undefined) {
      if (key.length > keyLengthMax) return refuse(failures.keyTooLong());
      this.#maybeForget(at, key, request);
      const verdict = this.#keys.judge(at, key, fingerprintOf(path, parseForm(body)));
      if (verdict.kind === 'inUse') return refuse(failures.keyInUse(key));
      if (verdict.kind === 'reused') return refuse(failures.keyReused(key));
      if (verdict.kind === 'replayed') {
        const { outcome, requestId: replayOf } = verdict.remembered;
        return { outcome, replayOf, sent: nothingToEnd };
      }
    }
    const outage = misfortunes.strike('serverError', route);
    const struck: Strike[] = [];
    const asked: LoggedRequest = {
      at,
      path,
      body,
      requestId,
      ...(key === undefined ? {} : { key }),
      ...(outage === undefined ? {} : { outage: outage.done ? 'done' : 'undone' }),
    };
    const outcome = this.#carryOut(asked, recorded(misfortunes, struck));
    if (key !== undefined) this.#keys.begin(key);
    return {
      outcome,
      logged: struck.length === 0 ? asked : { ...asked, struck },
      sent: key === undefined ? nothingToEnd : () => this.#keys.end(key),
    };
  }

  /** Carries out a request of the log again. */
  replay(request: LoggedRequest): void {
    this.#carryOut(request, again(request.struck ?? []));
  }

  #carryOut(request: LoggedRequest, misfortunes: Misfortunes): Outcome {
    const { at, path, body, key, requestId, outage } = request;
    const form = parseForm(body);
    const outcome = this.#outcomeOf(at, path, form, outage, misfortunes);
    if (key !== undefined) {
      this.#keys.remember(key, { at, fingerprint: fingerprintOf(path, form), outcome, requestId });
    }
    return outcome;
  }

  #outcomeOf(
    at: number,
    path: string,
    form: Form,
    outage: LoggedRequest['outage'],
    misfortunes: Misfortunes,
  ): Outcome {
    if (outage === 'undone') return { kind: 'failed', failure: failures.broken(500) };
    const operation = operationOf(path, form);
    const outcome: Outcome =
      operation === undefined
        ? { kind: 'failed', failure: failures.noSuchRoute('POST', path) }
        : this.#bank.execute(at, operation, misfortunes);
    return outage === 'done' ? { kind: 'failed', failure: failures.broken(500) } : outcome;
  }

  #maybeForget(at: number, key: string, { route, misfortunes }: DeskRequest): void {
    const ageMs = this.#keys.ageOf(at, key);
    if (ageMs === undefined) return;
    const forgotten = misfortunes.strike('forgetKeys', route, ({ keyWindowMs }) => ageMs >= keyWindowMs);
    if (forgotten !== undefined) this.#keys.forget(key);
  }
}

export function operationOf(path: string, form: Form): Operation | undefined {
  if (path === '/v1/payment_intents') return { kind: 'create', form };
  if (path === '/v1/refunds') return { kind: 'refund', form };
  const authenticated = /^\/sandbox\/authenticate\/([^/]+)$/.exec(path)?.[1];
  if (authenticated !== undefined) return { kind: 'authenticate', intentId: authenticated, form };
  const match = /^\/v1\/payment_intents\/([^/]+)\/(confirm|capture|cancel)$/.exec(path);
  const [, intentId, kind] = match ?? [];
  if (intentId === undefined) return undefined;
  if (kind !== 'confirm' && kind !== 'capture' && kind !== 'cancel') return undefined;
  return { kind, intentId, form };
}

/** The same misfortunes, written down as they strike. */
function recorded(misfortunes: Misfortunes, struck: Strike[]): Misfortunes {
  return {
    strike: (fault, route, applies) => {
      const strike = misfortunes.strike(fault, route, applies);
      if (strike !== undefined) struck.push(strike);
      return strike;
    },
  };
}

/** What struck then, and nothing else. */
function again(struck: readonly Strike[]): Misfortunes {
  return {
    strike: <Name extends Strike['fault']>(fault: Name) =>
      struck.find((strike): strike is Strike<Name> => strike.fault === fault),
  };
}
