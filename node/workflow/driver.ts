import type { Environment } from '../../store/environment.ts';
import { JournalError } from '../../store/journal/port.ts';
import { LedgerError, type Ledger } from '../../store/ledger/port.ts';
import type { Effect, FunctionSettings, OrderInput, TriggerFact } from '../orders/effects.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { OrderEffect } from '../orders/transitions.ts';
import { FunctionError, type Decision, type FunctionHost } from '../ports/functions.ts';
import type { Horizon } from '../ports/retention.ts';
import { Awakening } from './awakening.ts';
import { backoffMs } from './backoff.ts';
import { ownHoldTimes, withinBounds } from './hold-policy.ts';
import type { OrderLog, Provenance } from './order-log.ts';
import { runErrand } from './payment-steps.ts';
import { endWithout, perform, type PerformDependencies } from './perform.ts';
import type { Performed } from './performed.ts';
import type { Views, WorkflowObserver } from './ports.ts';

/**
 * Drives the orders whose home is this node, each to its end: fold, call the function that its last fact asks
 * for, perform the effects, record what follows, and again.
 *
 * W1  An order is driven by one loop at a time on this node.
 * W2  Only orders whose registration is settled and whose home is this node are driven.
 * W3  The provider is asked for money only once a majority has the intention on disk: were it known to this disk only
 *     and this disk lost, a cancellation would leave the money with the shop.
 * W4  A step that fails changes nothing and is tried again, for as long as the order is open and at home here.
 * W5  The ledger owns how an order ends, so its last fact needs no more than this disk before it is told.
 * W6  Nothing is done for any order while this node may have missed that it was forgotten: money would be asked for
 *     before the ledger could say so (node/retention).
 * W7  Money that no function has to decide about (a stray, a payment nobody knows) is the host's own errand, once there is
 *     nothing left to decide.
 * W8  An order that was accepted here is the one that its client was told of: when a rival's registration comes in
 *     before anything was built on the one that won, and is the earlier one (O2), this node builds on the winner at
 *     once. Who else could settle it may see only a tie.
 * W9  When the provider answers again, orders that it gave no answer to need not sit out their pauses, which grew with the
 *     outage: they are woken one by one, in the order in which they came to wait.
 */

export interface DriverOptions {
  readonly self: string;
  readonly settings: FunctionSettings;
}

export interface DriverDependencies extends PerformDependencies {
  readonly environment: Environment;
  readonly ledger: PerformDependencies['ledger'] & Pick<Ledger, 'stock'>;
  readonly functions: Pick<FunctionHost, 'callOrder'>;
  readonly views: Pick<Views, 'get' | 'peek'>;
  readonly log: OrderLog;
  readonly observer: WorkflowObserver;
  /** Without it nothing is ever forgotten. */
  readonly retention?: Pick<Horizon, 'isCurrent' | 'doubt'>;
}

/** One look at an order: whether to go on at once, wait, or stop. */
type StepResult =
  | { readonly kind: 'moved' }
  | { readonly kind: 'done' }
  | {
      readonly kind: 'retry';
      readonly pace: Pace;
      readonly code: string;
      readonly detail: string;
      readonly afterMs?: number;
    };

/** How patiently a step is tried again: `soon` while somebody is expected back, `later` when an operator may be needed. */
type Pace = 'soon' | 'later';
const PACE: Readonly<Record<Pace, { readonly baseMs: number; readonly capMs: number }>> = {
  soon: { baseMs: 100, capMs: 5_000 },
  later: { baseMs: 1_000, capMs: 60_000 },
};

/** With these the provider has not said anything. */
const PROVIDER_SILENT: ReadonlySet<string> = new Set(['PAYMENT_UNKNOWN', 'PAYMENT_POSTPONED']);

/** With these it is not the cluster's turn, nor the provider's to answer. */
const SOMEBODY_ELSE: ReadonlySet<string> = new Set([
  'PAYMENT_ACTION_REQUIRED',
  'PAYMENT_PROCESSING',
  'PAYMENT_SPENT',
  'REFUND_PENDING',
  'REFUND_FAILED',
]);

/** A running loop; `again` is set when something happened while it was busy. */
interface Loop {
  wake: () => void;
  again: boolean;
  /** The last attempt that a majority is known to have the intention of (W3); 0 for none. */
  intendedAttempt: number;
  /** An intention that was written, and that a majority may not have yet. */
  intention: { readonly attempt: number; readonly kept: Promise<void> } | undefined;
  /** Messages of the provider that its last step knew of. */
  messages: number;
  /** The registration that is known to have won (W8). */
  won: string | undefined;
}

/** For a majority to know of it, before the step is tried again. */
const INTENTION_TIMEOUT_MS = 5_000;

/** Each makes about two calls to the provider: 20 a second, the share of one node of three in the default budget. */
const AWAKENING = { everyMs: 100 };

export class Driver {
  readonly #options: DriverOptions;
  readonly #dependencies: DriverDependencies;
  readonly #active = new Map<string, Loop>();
  /** Orders that wait because the payment provider gave no answer. */
  readonly #unanswered = new Set<string>();
  /** Orders that wait for somebody else: their customer, a bank. They may for hours, and need nothing but a timer. */
  readonly #patient = new Set<string>();
  readonly #idle = new Set<() => void>();
  readonly #awakening: Awakening;
  #stopping = false;

  constructor(options: DriverOptions, dependencies: DriverDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    const { clock, random } = dependencies.environment;
    this.#awakening = new Awakening(AWAKENING, {
      clock,
      random,
      wake: (orderId) => this.#wakeUnanswered(orderId),
    });
  }

  /** Orders being driven now. */
  get active(): number {
    return this.#active.size;
  }

  /** Of these, orders that wait for somebody else than this cluster and the provider's answer. */
  get patient(): number {
    return this.#patient.size;
  }

  /** Of these, orders that wait because the payment provider does not answer. */
  get waitingForProvider(): number {
    return this.#unanswered.size;
  }

  /**
   * Starts driving, or wakes the loop that already does (something about the order has changed). `won` is its
   * registration, if that is known from its claim.
   */
  drive(orderId: string, won?: string): void {
    const running = this.#active.get(orderId);
    if (running !== undefined) {
      running.won ??= won;
      running.again = true;
      running.wake();
      return;
    }
    if (this.#stopping) return;
    const loop: Loop = {
      wake: () => undefined,
      again: false,
      intendedAttempt: 0,
      intention: undefined,
      messages: 0,
      won,
    };
    this.#active.set(orderId, loop);
    void this.#run(orderId, loop)
      .catch((error: unknown) => {
        this.#dependencies.environment.log.error({ orderId, error }, 'order loop failed');
      })
      .finally(() => {
        this.#active.delete(orderId);
        this.#note(orderId, '');
        this.#restIfDone();
      });
  }

  isDriving(orderId: string): boolean {
    return this.#active.has(orderId);
  }

  /** The order has changed, by whomever: its loop is woken for what it could not have known. */
  changed(orderId: string, folded: FoldedOrder): void {
    const loop = this.#active.get(orderId);
    if (loop === undefined) return;
    const { order, money } = folded;
    const isNews = order.cancelRequested || money.messages.size > loop.messages;
    if (isNews || isRivalOf(loop.won, folded)) this.drive(orderId);
  }

  /** W9. */
  providerAnswersAgain(): void {
    if (!this.#stopping) this.#awakening.start([...this.#unanswered]);
  }

  /**
   * Starts nothing new; resolves when every loop has come to rest, waits for somebody else, or `timeoutMs` is over.
   */
  async drain(timeoutMs: number): Promise<void> {
    const { clock } = this.#dependencies.environment;
    if (this.#active.size > this.#patient.size) {
      await new Promise<void>((resolve) => {
        const cancel = clock.after(timeoutMs, resolve);
        this.#idle.add(() => {
          cancel();
          resolve();
        });
      });
    }
    this.#stopping = true;
    this.#awakening.stop();
    for (const { wake } of this.#active.values()) wake();
  }

  async #run(orderId: string, loop: Loop): Promise<void> {
    const { environment, observer } = this.#dependencies;
    for (let failures = 0; !this.#stopping;) {
      loop.again = false;
      const result = await this.#step(orderId, loop);
      this.#note(orderId, result.kind === 'retry' ? result.code : '');
      if (result.kind === 'done') return;
      if (result.kind === 'moved') {
        failures = 0;
        continue;
      }
      failures += 1;
      observer.parked(result.code);
      const { baseMs, capMs } = PACE[result.pace];
      const delayMs = result.afterMs ?? backoffMs(failures, environment.random, baseMs, capMs);
      environment.log.debug({ orderId, code: result.code, detail: result.detail, delayMs }, 'order waits');
      if (!loop.again) await this.#sleep(loop, delayMs);
    }
  }

  #wakeUnanswered(orderId: string): boolean {
    const loop = this.#unanswered.has(orderId) ? this.#active.get(orderId) : undefined;
    loop?.wake();
    return loop !== undefined;
  }

  /** What it waits for now, by its code. */
  #note(orderId: string, code: string): void {
    if (PROVIDER_SILENT.has(code)) this.#unanswered.add(orderId);
    else this.#unanswered.delete(orderId);
    if (!SOMEBODY_ELSE.has(code)) this.#patient.delete(orderId);
    else if (!this.#patient.has(orderId)) {
      this.#patient.add(orderId);
      this.#restIfDone();
    }
  }

  #restIfDone(): void {
    if (this.#active.size === this.#patient.size) for (const resolve of this.#idle) resolve();
  }

  async #step(orderId: string, loop: Loop): Promise<StepResult> {
    const { views, environment, retention } = this.#dependencies;
    const folded = views.peek(orderId) ?? (await views.get(orderId));
    if (folded !== undefined && isRivalOf(loop.won, folded)) return this.#buildOn(loop.won, folded);
    if (retention?.isCurrent() === false) {
      return retry('soon', 'HORIZON_UNKNOWN', 'the ledger has not said yet which orders are forgotten');
    }
    if (folded === undefined || folded.order.home !== this.#options.self) return { kind: 'done' };
    loop.messages = folded.money.messages.size;
    if (folded.trigger === undefined) return this.#errand(folded);
    const decided = await this.#decide(folded, folded.trigger);
    if ('retry' in decided) return decided.retry;
    const { decision } = decided;
    const [effect, ...more] = decision.effects;
    if (effect === undefined || more.length > 0) {
      return retry(
        'later',
        'FUNCTION_BAD_OUTPUT',
        `${decision.function} returned ${decision.effects.length} effects, not one`,
      );
    }
    const startedAt = environment.clock.monotonic();
    const result = await this.#perform(folded, effect, decision, loop);
    this.#dependencies.observer.step(effect.type, (environment.clock.monotonic() - startedAt) / 1_000);
    return result;
  }

  /** W8. */
  async #buildOn(won: string, { order }: FoldedOrder): Promise<StepResult> {
    const { id, home, updatedAt } = order;
    try {
      await this.#dependencies.log.appendTo(
        id,
        won,
        { type: 'takenOver', data: { from: home } },
        'local',
        updatedAt,
      );
      return { kind: 'moved' };
    } catch (error) {
      if (error instanceof JournalError) return retry('soon', 'JOURNAL_UNAVAILABLE', error.message);
      throw error;
    }
  }

  /** W7. */
  async #errand(folded: FoldedOrder): Promise<StepResult> {
    const { errand, deferred, cause } = folded;
    if (errand === undefined || deferred) return { kind: 'done' };
    return this.#conclude(folded, errand.kind, { cause }, () =>
      runErrand(errand, folded, this.#dependencies),
    );
  }

  async #decide(
    folded: FoldedOrder,
    trigger: TriggerFact,
  ): Promise<{ readonly decision: Decision } | { readonly retry: StepResult }> {
    const { functions, environment } = this.#dependencies;
    try {
      return { decision: await functions.callOrder(trigger, this.#input(folded, trigger)) };
    } catch (error) {
      if (!(error instanceof FunctionError)) throw error;
      environment.log.warn(
        { orderId: folded.order.id, code: error.code, detail: error.message },
        'function failed',
      );
      return { retry: retry('later', error.code, error.message) };
    }
  }

  #input(folded: FoldedOrder, trigger: TriggerFact): OrderInput {
    const { id, state, currency, total, lines, capture, cancelRequested, payment } = folded.order;
    return {
      abi: 1,
      kind: 'order',
      at: this.#dependencies.environment.clock.now(),
      type: trigger,
      code: folded.code,
      order: { id, state, currency, total, lines, capture, cancelRequested, paymentStatus: payment.status },
      products: ownHoldTimes(lines, this.#dependencies.ledger),
      settings: this.#options.settings,
    };
  }

  #perform(folded: FoldedOrder, effect: Effect, decision: Decision, loop: Loop): Promise<StepResult> {
    const provenance = { decision, cause: folded.cause };
    const asked = withinBounds(effect, this.#options.settings) as OrderEffect;
    return this.#conclude(folded, effect.type, provenance, async () => {
      const { attempt, own, spentAt } = folded.money;
      const isFirst = own === undefined && spentAt === undefined && loop.intendedAttempt < attempt;
      // What is written already may be on this disk only, from before a restart: to say it again does no harm.
      if (asksForMoney(effect) && isFirst) await this.#intend(folded, attempt, loop, provenance);
      const performed = await perform(folded, asked, this.#dependencies);
      if (performed.kind === 'nextAttempt') await this.#intend(folded, performed.attempt, loop, provenance);
      return performed;
    });
  }

  /** W3. The next fold knows that money may have moved, here and on whatever node comes after. */
  async #intend(folded: FoldedOrder, attempt: number, loop: Loop, provenance: Provenance): Promise<void> {
    const { log, environment } = this.#dependencies;
    if (loop.intention?.attempt !== attempt) {
      // However long it takes: a step that fails for want of a majority writes no second one (W4).
      const patience = { ...provenance, timeoutMs: Infinity };
      const kept = log.append(folded, { type: 'paymentRequested', data: { attempt } }, 'quorum', patience);
      const intention = { attempt, kept };
      loop.intention = intention;
      kept.catch(() => {
        if (loop.intention === intention) loop.intention = undefined;
      });
    }
    const late = Promise.withResolvers<never>();
    const stop = environment.clock.after(INTENTION_TIMEOUT_MS, () => {
      late.reject(new JournalError('UNAVAILABLE', 'no majority has the intention to ask for money yet'));
    });
    await Promise.race([loop.intention.kept, late.promise]).finally(stop);
    loop.intendedAttempt = attempt;
  }

  async #conclude(
    folded: FoldedOrder,
    what: string,
    provenance: Provenance,
    work: () => Promise<Performed>,
  ): Promise<StepResult> {
    let performed: Performed;
    try {
      performed = await work();
    } catch (error) {
      if (error instanceof LedgerError) return retry('soon', 'LEDGER_UNAVAILABLE', error.message);
      if (error instanceof JournalError) return retry('soon', 'JOURNAL_UNAVAILABLE', error.message);
      throw error;
    }
    switch (performed.kind) {
      case 'facts':
        return this.#record(folded, performed.facts, provenance);
      case 'nextAttempt':
        return { kind: 'moved' };
      case 'again':
        return retry('soon', performed.code, what, performed.afterMs);
      case 'park':
        this.#dependencies.environment.log.error(
          { orderId: folded.order.id, code: performed.code, detail: performed.detail },
          'order cannot go on by itself',
        );
        return retry('later', performed.code, performed.detail, performed.afterMs);
      case 'forgotten':
        return this.#forgotten(folded);
    }
  }

  /** This node has missed how it ended. It leaves with all that are behind the horizon, once that is known here. */
  #forgotten(folded: FoldedOrder): StepResult {
    const { environment, retention } = this.#dependencies;
    environment.log.warn({ orderId: folded.order.id }, 'an order that is open here ended elsewhere long ago');
    retention?.doubt();
    return { kind: 'done' };
  }

  async #record(
    folded: FoldedOrder,
    facts: Extract<Performed, { kind: 'facts' }>['facts'],
    provenance: Provenance,
  ): Promise<StepResult> {
    const { log, observer, environment } = this.#dependencies;
    let kept: readonly Promise<void>[];
    try {
      kept = facts.map((fact) => log.append(folded, fact, 'local', provenance));
    } catch (error) {
      if (error instanceof JournalError) return retry('soon', 'JOURNAL_UNAVAILABLE', error.message);
      throw error;
    }
    const ending = facts.find(
      ({ type }) => type === 'fulfilled' || type === 'refunded' || type === 'failed' || type === 'cancelled',
    );
    if (ending === undefined) {
      // What follows may start now: were this fact lost, its owner would give the same answer again (P1).
      for (const promise of kept) {
        promise.catch((error: unknown) => {
          if (!(error instanceof JournalError)) environment.fatal(error as Error);
        });
      }
      return { kind: 'moved' };
    }
    await Promise.all(kept);
    const seconds = (environment.clock.now() - folded.order.createdAt) / 1_000;
    observer.ended(ending.type as 'fulfilled' | 'refunded' | 'failed' | 'cancelled', seconds);
    return { kind: 'done' };
  }

  /** Ends a deferred order whose client never came back, once nothing can be built on it any more (S3). */
  async abandon(folded: FoldedOrder): Promise<void> {
    const { ledger, environment } = this.#dependencies;
    const { id } = folded.order;
    const ending = { type: 'failed', data: { code: 'ABANDONED' } } as const;
    const performed = await endWithout(folded.order, 'abandoned', ending, ledger);
    if (performed.kind === 'forgotten') this.#forgotten(folded);
    if (performed.kind === 'facts') await this.#record(folded, performed.facts, {});
    if (performed.kind === 'park') {
      // Not by this one. The ledger keeps an order from its end on, the nodes from its beginning, and this is who used the
      // key of an older one in between.
      environment.log.warn(
        { orderId: id },
        'an order is given up whose key an older one has sold goods under',
      );
      await this.#record(folded, [ending], {});
    }
  }

  #sleep(loop: Loop, delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#dependencies.environment.clock.after(delayMs, resolve);
      loop.wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

function asksForMoney(effect: Effect): boolean {
  return effect.type === 'payment.authorize' || effect.type === 'payment.charge';
}

function retry(pace: Pace, code: string, detail: string, afterMs?: number): StepResult {
  return { kind: 'retry', pace, code, detail, ...(afterMs === undefined ? {} : { afterMs }) };
}

/** W8: the fold has taken another registration for the order's than the one that won. */
function isRivalOf(won: string | undefined, { order, confirmed }: FoldedOrder): won is string {
  return won !== undefined && !confirmed && order.registration !== won;
}
