import type { Cancel } from '../../store/environment.ts';

/** Why nobody waits for an answer any more. */
export type GivenUp = 'deadline' | 'clientGone';

/**
 * Until when somebody waits for what is done in a request's name. Made where the request came in and handed down as a
 * value, so that all its steps share one. Whoever gets it asks before beginning what is not begun yet, and gives its own
 * waits no more time than is left. It ends waiting; it takes nothing back that may have been decided.
 */
export interface Deadline {
  /** Undefined while somebody waits. Once there is a reason, it stays. */
  readonly givenUp: GivenUp | undefined;
  /** ms, 0 to Infinity. The clock alone: what has to be finished goes on for a client that hung up. */
  remainingMs(): number;
  /** Calls `listener` once, when nobody waits any more; at once where that is so already. It must not throw. */
  onGivenUp(listener: () => void): Cancel;
}

/** For what the node does of itself, and for callers that wait as long as it takes. */
export const NO_DEADLINE: Deadline = {
  givenUp: undefined,
  remainingMs: () => Infinity,
  onGivenUp: () => () => undefined,
};

/** Nobody waits any more for what was asked for. Whoever throws it has changed nothing, unless its caller says so. */
export class DeadlineExceeded extends Error {
  readonly code = 'DEADLINE_EXCEEDED';
  constructor(detail = 'the time of the request is over') {
    super(detail);
    this.name = 'DeadlineExceeded';
  }
}

/** Throws DeadlineExceeded where nobody waits any more. To be called before what is not begun yet. */
export function demandInterest(deadline: Deadline): void {
  if (deadline.givenUp !== undefined) throw new DeadlineExceeded();
}

/** What a step may take that takes `stepMs` at most: whole ms, at least one. */
export function timeFor(stepMs: number, deadline: Deadline): number {
  return Math.max(1, Math.floor(Math.min(stepMs, deadline.remainingMs())));
}

/**
 * Settles as `work` does, or rejects with DeadlineExceeded as soon as nobody waits any more. `work` goes on unheard: for
 * what only reads, and for what others started or would do anyway, never for what would be lost with its answer.
 */
export async function whileAwaited<Result>(deadline: Deadline, work: Promise<Result>): Promise<Result> {
  const over = Promise.withResolvers<never>();
  const stop = deadline.onGivenUp(() => {
    over.reject(new DeadlineExceeded());
  });
  try {
    return await Promise.race([work, over.promise]);
  } finally {
    stop();
  }
}
