import type { Outcome } from './bank.ts';

/**
 * Stripe's idempotency layer: the first answer to a key is the answer to it for a day, failures and outages
 * included. Requests that were turned away before they were acted upon leave no trace.
 */
export interface Remembered {
  /** ms. */
  readonly at: number;
  /** Of the endpoint and the parameters. */
  readonly fingerprint: string;
  readonly outcome: Outcome;
  readonly requestId: string;
}

export type Verdict =
  | { readonly kind: 'new' }
  | { readonly kind: 'replayed'; readonly remembered: Remembered }
  | { readonly kind: 'reused' }
  | { readonly kind: 'inUse' };

export class IdempotencyKeys {
  readonly #keptForMs: number;
  /** Oldest first. */
  readonly #remembered = new Map<string, Remembered>();
  readonly #inProgress = new Set<string>();

  constructor(options: { readonly keptForMs: number }) {
    this.#keptForMs = options.keptForMs;
  }

  judge(at: number, key: string, fingerprint: string): Verdict {
    this.#forget(at);
    if (this.#inProgress.has(key)) return { kind: 'inUse' };
    const remembered = this.#remembered.get(key);
    if (remembered === undefined) return { kind: 'new' };
    const same = remembered.fingerprint === fingerprint;
    return same ? { kind: 'replayed', remembered } : { kind: 'reused' };
  }

  /** Ms since `key` was first used; undefined when it is not remembered. */
  ageOf(at: number, key: string): number | undefined {
    const remembered = this.#remembered.get(key);
    return remembered && at - remembered.at;
  }

  /** As Stripe may, once a key is old. */
  forget(key: string): void {
    this.#remembered.delete(key);
  }

  begin(key: string): void {
    this.#inProgress.add(key);
  }

  end(key: string): void {
    this.#inProgress.delete(key);
  }

  remember(key: string, remembered: Remembered): void {
    this.#forget(remembered.at);
    const { outcome } = remembered;
    if (outcome.kind === 'failed' && !outcome.failure.started) return;
    // A key that is used again after it was forgotten is a young one: it goes to the end of the line.
    this.#remembered.delete(key);
    this.#remembered.set(key, remembered);
  }

  #forget(at: number): void {
    for (const [key, remembered] of this.#remembered) {
      if (at - remembered.at < this.#keptForMs) return;
      this.#remembered.delete(key);
    }
  }
}
