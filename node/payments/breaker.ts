import type { Cancel, Clock, Random } from '../../store/environment.ts';

/**
 * A circuit breaker: when most calls of late failed, no more are made for a while, then one is made to see. It
 * spares a provider in trouble our load, and spares orders the wait for a time-out.
 *
 *   C1  Opens when at least `failureRatio` of the last `window` outcomes, of no fewer than `callsMin`, are failures.
 *   C2  Half open, exactly one call is under way; its outcome closes the circuit or opens it for longer.
 *   C3  Who listens hears of each closing once, after it: what was kept away by the circuit need not wait any longer.
 */
export interface BreakerOptions {
  readonly window: number;
  readonly callsMin: number;
  readonly failureRatio: number;
  /** The first pause; each one in a row is twice as long, up to `openMsMax`. */
  readonly openMs: number;
  readonly openMsMax: number;
}

export type BreakerState = 'closed' | 'half-open' | 'open';

/** `neutral`: says nothing about the provider's health, such as a rate limit. */
export type CallOutcome = 'ok' | 'failed' | 'neutral';

type Circuit =
  | { readonly kind: 'closed' }
  | { readonly kind: 'open'; readonly until: number; readonly pauseMs: number }
  | { readonly kind: 'probing'; readonly pauseMs: number };

export class Breaker {
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  /** The last outcomes while closed, oldest first: true for a failure. */
  #outcomes: boolean[] = [];
  #circuit: Circuit = { kind: 'closed' };
  readonly #listeners = new Set<() => void>();

  constructor(options: BreakerOptions, dependencies: { readonly clock: Clock; readonly random: Random }) {
    this.#options = options;
    this.#clock = dependencies.clock;
    this.#random = dependencies.random;
  }

  /** C3. Listeners must not throw. */
  onClosed(listener: () => void): Cancel {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  state(): BreakerState {
    switch (this.#circuit.kind) {
      case 'closed':
        return 'closed';
      case 'probing':
        return 'half-open';
      case 'open':
        return this.#clock.monotonic() < this.#circuit.until ? 'open' : 'half-open';
    }
  }

  /** How long, in ms, to keep away; 0 when a call may be made. Takes nothing. */
  blockedForMs(): number {
    const circuit = this.#circuit;
    if (circuit.kind === 'closed') return 0;
    if (circuit.kind === 'probing') return circuit.pauseMs;
    return Math.max(0, Math.ceil(circuit.until - this.#clock.monotonic()));
  }

  /** Asks to make a call now. When true, `report` must follow. */
  begin(): boolean {
    if (this.blockedForMs() > 0) return false;
    if (this.#circuit.kind === 'open') this.#circuit = { kind: 'probing', pauseMs: this.#circuit.pauseMs };
    return true;
  }

  report(outcome: CallOutcome): void {
    const circuit = this.#circuit;
    switch (circuit.kind) {
      case 'closed':
        if (outcome !== 'neutral') this.#count(outcome === 'failed');
        return;
      case 'probing':
        if (outcome === 'ok') {
          this.#circuit = { kind: 'closed' };
          for (const listener of this.#listeners) listener();
        } else {
          const { openMsMax } = this.#options;
          this.#open(outcome === 'failed' ? Math.min(circuit.pauseMs * 2, openMsMax) : circuit.pauseMs);
        }
        return;
      case 'open':
        // A call that began before the circuit opened: its outcome is old news.
        return;
    }
  }

  #count(failed: boolean): void {
    const { window, callsMin, failureRatio, openMs } = this.#options;
    this.#outcomes.push(failed);
    if (this.#outcomes.length > window) this.#outcomes.shift();
    const calls = this.#outcomes.length;
    const failures = this.#outcomes.filter(Boolean).length;
    if (failed && calls >= callsMin && failures >= calls * failureRatio) this.#open(openMs);
  }

  #open(pauseMs: number): void {
    // Nodes that lost the provider together should not all come back at once.
    const spreadMs = pauseMs * 0.2 * this.#random();
    this.#circuit = { kind: 'open', until: this.#clock.monotonic() + pauseMs + spreadMs, pauseMs };
    this.#outcomes = [];
  }
}
