import type { FastifyInstance } from 'fastify';
import type { Cancel, Clock } from '../../store/environment.ts';
import type { Deadline, GivenUp } from '../ports/deadline.ts';

/**
 * Until when the sender of a request waits for its answer. Owns one deadline per request, from its head to the end of its
 * answer or of its connection. What ends with it is for whoever is handed it to say (ports/deadline.ts).
 *
 * K1  One deadline per request, fixed when its head is here and measured by the monotonic clock: what its route allows,
 *     and nothing that happens on the way makes it later.
 * K2  It is given up once, for one reason: its time is over, or its client has hung up. Everyone who listens hears it
 *     once, also who comes too late.
 * K3  Once the answer is out, or its connection gone, nothing of it is left: no timer, no listener.
 * K4  Nobody is answered here. Only who does a step knows whether it may have taken effect, and what to say then: an
 *     order that was accepted is answered as accepted, however late. (Fastify's `handlerTimeout` answers from outside.)
 */
declare module 'fastify' {
  interface FastifyRequest {
    deadline: Deadline;
  }
  interface FastifyContextConfig {
    /** How long a request of this route may take, ms; `usualMs` unless it says. */
    timeoutMs?: (usualMs: number, request: FastifyRequest) => number;
  }
}

export class RequestDeadline implements Deadline {
  readonly #clock: Clock;
  readonly #endsAt: number;
  readonly #listeners = new Set<() => void>();
  #stopTimer: Cancel = () => undefined;
  #givenUp: GivenUp | undefined;
  #isClosed = false;

  constructor(timeoutMs: number, dependencies: { readonly clock: Clock }) {
    this.#clock = dependencies.clock;
    this.#endsAt = this.#clock.monotonic() + timeoutMs;
    this.#watch();
  }

  get givenUp(): GivenUp | undefined {
    // Under load a timer is late, and what is begun meanwhile would be begun in vain.
    if (this.#givenUp === undefined && this.remainingMs() === 0) this.#giveUp('deadline');
    return this.#givenUp;
  }

  remainingMs(): number {
    return Math.max(0, this.#endsAt - this.#clock.monotonic());
  }

  /** Who would be told; for tests. */
  get listeners(): number {
    return this.#listeners.size;
  }

  onGivenUp(listener: () => void): Cancel {
    if (this.givenUp !== undefined) {
      listener();
      return () => undefined;
    }
    // A listener may be given twice, and is then told twice.
    const own = (): void => listener();
    if (!this.#isClosed) this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  clientGone(): void {
    this.#giveUp('clientGone');
  }

  /** K3. Whatever still holds it is told nothing any more. */
  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
    this.#listeners.clear();
  }

  #watch(): void {
    this.#stopTimer = this.#clock.after(this.remainingMs(), () => {
      // A timer may come a fraction of a millisecond early.
      if (this.remainingMs() > 0) this.#watch();
      else this.#giveUp('deadline');
    });
  }

  /** K2. */
  #giveUp(reason: GivenUp): void {
    if (this.#givenUp !== undefined || this.#isClosed) return;
    this.#givenUp = reason;
    this.#stopTimer();
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener();
  }
}

export interface DeadlineOptions {
  /** What a route allows that says nothing of its own. */
  readonly timeoutMs: number;
}

export interface DeadlineDependencies {
  readonly clock: Clock;
  /** Nobody waited any more for a request that was not answered yet. */
  readonly gaveUp: (reason: GivenUp) => void;
}

/** Gives every request its deadline, before anything else looks at it. To be called before the routes are added. */
export function carryDeadlines(
  app: FastifyInstance,
  { timeoutMs }: DeadlineOptions,
  { clock, gaveUp }: DeadlineDependencies,
): void {
  app.decorateRequest('deadline');
  app.addHook('onRequest', (request, reply, done) => {
    const own = request.routeOptions.config.timeoutMs;
    const deadline = new RequestDeadline(own?.(timeoutMs, request) ?? timeoutMs, { clock });
    request.deadline = deadline;
    deadline.onGivenUp(() => {
      gaveUp(deadline.givenUp ?? 'deadline');
    });
    // Told of every answer, whole or not, once.
    reply.raw.once('close', () => {
      if (!reply.raw.writableEnded) deadline.clientGone();
      deadline.close();
    });
    done();
  });
}
