import { randomBytes } from 'node:crypto';

import type { Bank, Operation, Outcome } from './bank.ts';
import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import { fingerprintOf, parseForm } from './form.ts';
import type { Form } from './form.ts';
import type { IdempotencyKeys } from './idempotency.ts';
import type { LoggedRequest, OperationLog } from './operation-log.ts';

/**
 * Takes requests that move money: checks the idempotency key, has the bank carry them out, keeps them, answers.
 *
 *   D1  Of all requests with one key exactly one is carried out; the others get its answer, or a refusal.
 *   D2  A request is written to the log before it is answered; replaying the log gives the same bank and keys.
 */
export interface DeskRequest {
  readonly at: number;
  readonly path: string;
  readonly body: string;
  readonly key: string | undefined;
  /** Carry it out, and answer (and remember) an outage. */
  readonly outage: boolean;
}

export interface DeskAnswer {
  readonly outcome: Outcome;
  readonly requestId: string;
  /** The request that was answered first, when this one only got its answer again. */
  readonly replayOf?: string;
  /** To be called when the answer has left: until then the key is in use. */
  readonly sent: () => void;
}

const keyLengthMax = 255;
const nothingToEnd = (): void => undefined;

export class Desk {
  readonly #bank: Bank;
  readonly #keys: IdempotencyKeys;
  readonly #log: OperationLog;

  constructor(dependencies: {
    readonly bank: Bank;
    readonly keys: IdempotencyKeys;
    readonly log: OperationLog;
  }) {
    this.#bank = dependencies.bank;
    this.#keys = dependencies.keys;
    this.#log = dependencies.log;
  }

  async take(request: DeskRequest): Promise<DeskAnswer> {
    const { at, path, body, key, outage } = request;
    const requestId = `req_${randomBytes(7).toString('hex')}`;
    const refuse = (failure: Failure): DeskAnswer => ({
      outcome: { kind: 'failed', failure },
      requestId,
      sent: nothingToEnd,
    });

    if (key !== undefined) {
      if (key.length > keyLengthMax) return refuse(failures.keyTooLong());
      const verdict = this.#keys.judge(at, key, path, fingerprintOf(parseForm(body)));
      if (verdict.kind === 'inUse') return refuse(failures.keyInUse(key));
      if (verdict.kind === 'reused') return refuse(failures.keyReused(key));
      if (verdict.kind === 'replayed') {
        const { outcome, requestId: replayOf } = verdict.remembered;
        return { outcome, requestId, replayOf, sent: nothingToEnd };
      }
      this.#keys.begin(key);
    }
    const sent = key === undefined ? nothingToEnd : () => this.#keys.end(key);
    try {
      const logged: LoggedRequest = {
        at,
        path,
        body,
        requestId,
        ...(key === undefined ? {} : { key }),
        ...(outage ? { outage } : {}),
      };
      const outcome = this.replay(logged);
      await this.#log.append(logged);
      return { outcome, requestId, sent };
    } catch (error) {
      sent();
      throw error;
    }
  }

  /** Carries out a request of the log, or one that is about to be in it. */
  replay(request: LoggedRequest): Outcome {
    const { at, path, body, key, requestId, outage } = request;
    const form = parseForm(body);
    const operation = operationOf(path, form);
    const carriedOut: Outcome =
      operation === undefined
        ? { kind: 'failed', failure: failures.noSuchRoute('POST', path) }
        : this.#bank.execute(at, operation);
    const outcome: Outcome = outage === true ? { kind: 'failed', failure: failures.broken(500) } : carriedOut;
    if (key !== undefined) {
      this.#keys.remember(key, { at, path, fingerprint: fingerprintOf(form), outcome, requestId });
    }
    return outcome;
  }
}

function operationOf(path: string, form: Form): Operation | undefined {
  if (path === '/v1/payment_intents') return { kind: 'create', form };
  if (path === '/v1/refunds') return { kind: 'refund', form };
  const match = /^\/v1\/payment_intents\/([^/]+)\/(confirm|capture|cancel)$/.exec(path);
  const [, intentId, kind] = match ?? [];
  if (intentId === undefined) return undefined;
  if (kind !== 'confirm' && kind !== 'capture' && kind !== 'cancel') return undefined;
  return { kind, intentId, form };
}
