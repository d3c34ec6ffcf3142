import type { Cancel, Environment } from '../../store/environment.ts';
import { JournalError } from '../../store/journal/port.ts';
import { LedgerError } from '../../store/ledger/port.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { Horizon } from '../ports/retention.ts';
import type { Driver } from './driver.ts';
import type { Membership, Views, WorkflowObserver } from './ports.ts';
import { rendezvous } from './responsibility.ts';
import { becomeHome, deferUntold, forsake, type SettlementDependencies } from './settlement.ts';

/**
 * Sees to it that every open order has a node that drives it. The one place where orders change their home, so
 * that a later version can fence the old home here.
 *
 * H1  A wrong suspicion costs duplicate work, never a duplicate result: every decision has its owner elsewhere.
 * H2  A node that reaches no majority takes nothing over.
 * H3  An order that this node is registering just now is left to the request that does so.
 * H4  A node that may have missed that orders were forgotten touches none (W6).
 * H5  A node that sees an order built on says of each registration of its own that lost, whatever it had said before, that
 *     it did. Others may have forgotten the order by the time that they hear of the other registration, and would take it
 *     for an order by itself.
 */
export interface SupervisorOptions {
  /** How long a member must be unreachable before its orders are taken over. */
  readonly takeOverAfterMs: number;
  /** How long a deferred order waits for its client before it is ended. */
  readonly abandonAfterMs: number;
  readonly sweepEveryMs?: number;
  /** Orders taken over, deferred or given up at once. */
  readonly takeOversMax?: number;
}

export interface SupervisorDependencies extends SettlementDependencies {
  readonly environment: Environment;
  readonly views: Pick<Views, 'get' | 'peek' | 'events' | 'hasTakenIn' | 'open' | 'onChange'>;
  readonly membership: Membership;
  readonly driver: Driver;
  readonly observer: Pick<WorkflowObserver, 'takenOver'>;
  /** Without it nothing is ever forgotten. */
  readonly retention?: Pick<Horizon, 'horizon' | 'isCurrent' | 'doubt'>;
}

export class Supervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #dependencies: SupervisorDependencies;
  readonly #unreachableSince = new Map<string, number>();
  readonly #registering = new Set<string>();
  readonly #settling = new Set<string>();
  /** Orders that this node registered before it was started, and for all it knows may have answered (S7). */
  readonly #fromBefore = new Set<string>();
  /** Orders of which this could not be said yet (H5). */
  readonly #unsaid = new Set<string>();
  readonly #stop: Cancel[] = [];
  #started = false;

  constructor(options: SupervisorOptions, dependencies: SupervisorDependencies) {
    this.#options = { sweepEveryMs: 500, takeOversMax: 64, ...options };
    this.#dependencies = dependencies;
  }

  /** To be called once this node has caught up: what it finds open it then drives. */
  start(): void {
    const { environment, membership, views } = this.#dependencies;
    for (const { id } of membership.members) {
      if (id !== membership.self) this.#unreachableSince.set(id, environment.clock.monotonic());
    }
    this.#stop.push(
      membership.onReachability((id, reachable) => {
        if (reachable) this.#unreachableSince.delete(id);
        else this.#unreachableSince.set(id, environment.clock.monotonic());
      }),
      // What others wrote about an order driven here (a cancellation, word of the provider) is news for its loop.
      views.onChange((orderId, folded) => {
        this.#dependencies.driver.changed(orderId, folded);
        this.#withdrawLosers(orderId, folded);
      }),
    );
    for (const orderId of views.open())
      if (this.#ownStands(views.peek(orderId))) this.#fromBefore.add(orderId);
    this.#started = true;
    this.#sweepLater(0);
  }

  stop(): void {
    this.#started = false;
    for (const cancel of this.#stop.splice(0)) cancel();
  }

  /** H3: holds back the sweep from `orderId` while `work` runs. */
  async whileRegistering<T>(orderId: string, work: () => Promise<T>): Promise<T> {
    this.#registering.add(orderId);
    try {
      return await work();
    } finally {
      this.#registering.delete(orderId);
      this.#withdrawLosers(orderId, this.#dependencies.views.peek(orderId));
    }
  }

  /** Makes this node the order's home and drives it; false when no majority answers. */
  async takeOver(orderId: string): Promise<boolean> {
    if (this.#settling.has(orderId) || this.#dependencies.retention?.isCurrent() === false) return false;
    this.#settling.add(orderId);
    try {
      const settled = await becomeHome(orderId, this.#dependencies);
      if (settled === 'forgotten') this.#dependencies.retention?.doubt();
      if (settled !== 'home') return false;
      this.#dependencies.driver.drive(orderId);
      return true;
    } catch (error) {
      if (error instanceof LedgerError || error instanceof JournalError) return false;
      throw error;
    } finally {
      this.#settling.delete(orderId);
    }
  }

  #sweepLater(delayMs: number): void {
    const { environment } = this.#dependencies;
    this.#stop.push(
      environment.clock.after(delayMs, () => {
        this.#stop.splice(2);
        if (!this.#started) return;
        this.#sweep();
        this.#sweepLater(this.#options.sweepEveryMs);
      }),
    );
  }

  #sweep(): void {
    const { views, membership, driver, environment, observer } = this.#dependencies;
    for (const orderId of [...this.#unsaid]) this.#withdrawLosers(orderId, views.peek(orderId));
    const alive = this.#alive();
    if (!this.#quorumReachable() || this.#dependencies.retention?.isCurrent() === false) return;
    for (const orderId of views.open()) {
      const folded = views.peek(orderId);
      if (folded === undefined || this.#registering.has(orderId) || driver.isDriving(orderId)) continue;
      if (this.#fromBefore.has(orderId)) {
        this.#deferIfUntold(folded);
        continue;
      }
      const { home } = folded.order;
      const responsible = alive.includes(home) ? home : rendezvous(orderId, alive);
      if (responsible !== membership.self) continue;
      if (folded.deferred) this.#abandonIfOld(folded);
      else if (home === membership.self && folded.confirmed) driver.drive(orderId);
      else if (this.#settling.size < this.#options.takeOversMax && !this.#settling.has(orderId)) {
        environment.log.info(
          { orderId, from: home },
          home === membership.self ? 'resuming an order' : 'taking over an order',
        );
        observer.takenOver();
        void this.takeOver(orderId).catch((error: unknown) => {
          environment.log.error({ orderId, error }, 'take-over failed');
        });
      }
    }
  }

  /** H5. While this node registers it, the request does so. */
  #withdrawLosers(orderId: string, folded: FoldedOrder | undefined): void {
    this.#unsaid.delete(orderId);
    if (folded === undefined || this.#registering.has(orderId)) return;
    for (const registration of folded.rivals) {
      if (!registration.startsWith(`${this.#dependencies.membership.self}:`)) continue;
      try {
        void this.#dependencies.log
          .appendTo(orderId, registration, { type: 'withdrawn', data: {} }, 'local')
          .catch(() => undefined);
      } catch (error) {
        if (!(error instanceof JournalError)) throw error;
        this.#unsaid.add(orderId);
      }
    }
  }

  #ownStands(folded: FoldedOrder | undefined): boolean {
    const { self } = this.#dependencies.membership;
    return folded?.standing.some((registration) => registration.startsWith(`${self}:`)) === true;
  }

  /** S7. Whoever drives it: another registration than this node's may be taken for the order's. */
  #deferIfUntold(folded: FoldedOrder): void {
    const orderId = folded.order.id;
    if (!this.#ownStands(folded)) {
      this.#fromBefore.delete(orderId);
      return;
    }
    if (this.#settling.has(orderId) || this.#settling.size >= this.#options.takeOversMax) return;
    this.#settling.add(orderId);
    void deferUntold(orderId, this.#dependencies)
      .then((said) => {
        if (said !== 'not yet') this.#fromBefore.delete(orderId);
      })
      .catch((error: unknown) => {
        if (error instanceof JournalError) return;
        this.#dependencies.environment.log.warn({ orderId, error }, 'deferring failed');
      })
      .finally(() => this.#settling.delete(orderId));
  }

  #abandonIfOld(folded: FoldedOrder): void {
    const { driver, environment } = this.#dependencies;
    const orderId = folded.order.id;
    if (environment.clock.now() - folded.order.createdAt < this.#options.abandonAfterMs) return;
    if (this.#settling.has(orderId) || this.#settling.size >= this.#options.takeOversMax) return;
    this.#settling.add(orderId);
    void forsake(orderId, this.#dependencies)
      .then((forsaken) => {
        if (forsaken === 'abandon') return driver.abandon(folded);
        if (forsaken === 'forgotten') this.#dependencies.retention?.doubt();
        return forsaken === 'resume' ? this.#resume(orderId) : undefined;
      })
      .catch((error: unknown) => environment.log.warn({ orderId, error }, 'abandoning failed'))
      .finally(() => this.#settling.delete(orderId));
  }

  /** Somebody began to take it up for its client, and died before anybody could know. */
  async #resume(orderId: string): Promise<void> {
    const { observer, retention, driver } = this.#dependencies;
    observer.takenOver();
    const settled = await becomeHome(orderId, this.#dependencies);
    if (settled === 'forgotten') retention?.doubt();
    if (settled === 'home') driver.drive(orderId);
  }

  /** Members that are reachable, or have not been away for long; this node included. */
  #alive(): readonly string[] {
    const { membership, environment } = this.#dependencies;
    const now = environment.clock.monotonic();
    const ids = membership.members.map(({ id }) => id);
    // A member that was added and never came counts from its addition on.
    for (const id of ids) {
      if (id === membership.self || membership.reachable(id)) this.#unreachableSince.delete(id);
      else if (!this.#unreachableSince.has(id)) this.#unreachableSince.set(id, now);
    }
    return ids.filter((id) => now - (this.#unreachableSince.get(id) ?? now) < this.#options.takeOverAfterMs);
  }

  #quorumReachable(): boolean {
    const { membership } = this.#dependencies;
    const voters = membership.members.filter((member) => member.voter);
    const reached = voters.filter(({ id }) => id === membership.self || membership.reachable(id));
    return reached.length > voters.length / 2;
  }
}
