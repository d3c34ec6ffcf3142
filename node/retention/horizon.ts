import type { Environment } from '../../store/environment.ts';
import type { Journal } from '../../store/journal/port.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import type { Views } from './ports.ts';

/**
 * Proposes to the ledger how far orders are to be forgotten; on the node that leads it. Does not decide: the ledger
 * does, and its horizon never goes back.
 *
 *   R1  Every order created before the horizon was closed when it was proposed: it had ended, none of its customer's
 *       money was left with the shop for nothing (O4), and the system of record had it. Until it is settled which of
 *       several registrations is the order, it may have been created with any of them.
 *   R2  The proposer knows of every order that was answered 201 before it began: it first takes in all that a majority
 *       holds, and a registration that won is on a majority's disks.
 *       What is known is not all while a row of the views is damaged: then nothing is proposed.
 *   R3  The horizon is at least `retainFor` behind the clock and behind the ledger's time, so that a clock that is set
 *       forward makes nobody forget sooner.
 *
 * Orders of other zones are not known here, so with more than one zone nothing is proposed.
 */
export interface HorizonOptions {
  readonly retainForMs: number;
  /** Smaller steps are not worth an entry in the log. */
  readonly stepMs: number;
  readonly coversTimeoutMs: number;
}

export interface HorizonDependencies {
  readonly environment: Environment;
  readonly journal: Pick<Journal, 'covers'>;
  readonly ledger: Pick<Ledger, 'forget' | 'horizon' | 'freshness'>;
  readonly views: Pick<Views, 'oldestUnclosed' | 'isWhole'>;
}

export interface Proposed {
  /** How far the horizon is behind where it would be if every order had closed in time, ms. */
  readonly behindMs: number;
  /** The order that holds it up. */
  readonly heldUpBy?: { readonly orderId: string; readonly createdAt: number };
}

/** Undefined when this node cannot know enough now. Rejects with LedgerError. */
export async function proposeHorizon(
  options: HorizonOptions,
  { environment, journal, ledger, views }: HorizonDependencies,
): Promise<Proposed | undefined> {
  const { retainForMs, stepMs, coversTimeoutMs } = options;
  // R3. Both are read before anything is waited for.
  const wanted = Math.floor(Math.min(environment.clock.now(), ledger.freshness().asOf)) - retainForMs;
  if (!(await journal.covers(coversTimeoutMs))) return undefined;
  const oldest = await views.oldestUnclosed();
  // Judged after the look: it may have met the damage.
  if (!views.isWhole()) return undefined;
  const possible = Math.max(0, Math.min(wanted, oldest?.createdAt ?? Infinity));
  if (possible >= ledger.horizon() + stepMs) await ledger.forget(possible);
  const behindMs = Math.max(0, wanted - Math.max(possible, ledger.horizon()));
  return oldest !== undefined && oldest.createdAt < wanted ? { behindMs, heldUpBy: oldest } : { behindMs: 0 };
}
