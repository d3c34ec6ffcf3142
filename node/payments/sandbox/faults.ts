import { noFaults, routesOf } from './fault-plan.ts';
import type { FaultName, FaultPlan, Route, Rule, RuleOf } from './fault-plan.ts';

/**
 * Decides which faults strike, by the plan in force, and counts them. Whoever could be struck asks, at the moment
 * when it would matter: so what is counted has happened. Pure: takes time as a value, and its chance from the seed.
 *
 *   F1  The same plan and the same sequence of questions give the same faults. Each rule has a sequence of chances
 *       of its own, so that a rule that is added or taken away at the end of the list changes no other.
 *   F2  Of several rules for one fault the first that strikes decides; those behind it are not asked.
 */
export interface FaultReport {
  readonly plan: FaultPlan;
  /** How often a fault struck, since the start, by route. */
  readonly struck: Readonly<Partial<Record<FaultName, Readonly<Partial<Record<Route, number>>>>>>;
  /** Requests, and attempts to deliver an event, since the start. */
  readonly asked: Readonly<Partial<Record<Route, number>>>;
}

export type Strike<Name extends FaultName = FaultName> = RuleOf<Name> & {
  /** From 0 to below 1: for what the fault itself leaves to chance. */
  readonly luck: number;
};

/** What the bank and the desk need of it. */
export interface Misfortunes {
  /** A rule that does not apply to this request neither strikes nor has its chance drawn. */
  strike<Name extends FaultName>(
    fault: Name,
    route: Route,
    applies?: (rule: RuleOf<Name>) => boolean,
  ): Strike<Name> | undefined;
}

interface ActiveRule {
  readonly rule: Rule;
  /** In the plan. */
  readonly position: number;
  readonly routes: readonly Route[];
  asked: number;
  struck: number;
}

export class Faults {
  #plan: FaultPlan = noFaults;
  #inForceSince = 0;
  #rules = new Map<FaultName, ActiveRule[]>();
  readonly #struck = new Map<FaultName, Map<Route, number>>();
  readonly #asked = new Map<Route, number>();

  /** Puts a plan in force, at `at` ms, in the place of the one before. */
  put(at: number, plan: FaultPlan): void {
    this.#plan = plan;
    this.#inForceSince = at;
    this.#rules = new Map();
    for (const [position, rule] of plan.rules.entries()) {
      const routes = rule.route === undefined ? routesOf[rule.fault] : [rule.route].flat();
      const rules = this.#rules.get(rule.fault) ?? [];
      rules.push({ rule, position, routes, asked: 0, struck: 0 });
      this.#rules.set(rule.fault, rules);
    }
  }

  clear(): void {
    this.put(0, noFaults);
  }

  /** Counts a request, whatever becomes of it. */
  arrived(route: Route): void {
    this.#asked.set(route, (this.#asked.get(route) ?? 0) + 1);
  }

  /** For one request at one time. */
  at(at: number): Misfortunes {
    return { strike: (fault, route, applies = () => true) => this.#strike(at, fault, route, applies) };
  }

  report(): FaultReport {
    const struck = Object.fromEntries(
      [...this.#struck].map(([fault, byRoute]) => [fault, Object.fromEntries(byRoute)]),
    );
    return { plan: this.#plan, struck, asked: Object.fromEntries(this.#asked) };
  }

  #strike<Name extends FaultName>(
    at: number,
    fault: Name,
    route: Route,
    applies: (rule: RuleOf<Name>) => boolean,
  ): Strike<Name> | undefined {
    for (const active of this.#rules.get(fault) ?? []) {
      const { position, routes } = active;
      const rule = active.rule as RuleOf<Name>;
      if (!routes.includes(route) || !applies(rule)) continue;
      const elapsedMs = at - this.#inForceSince;
      if (elapsedMs < (rule.fromMs ?? 0) || elapsedMs >= (rule.untilMs ?? Infinity)) continue;
      active.asked += 1;
      if (active.asked <= (rule.skip ?? 0) || active.struck >= (rule.times ?? Infinity)) continue;
      if (chance(this.#plan.seed, position, active.asked, 0) >= rule.probability) continue;
      active.struck += 1;
      this.#count(fault, route);
      return { ...rule, luck: chance(this.#plan.seed, position, active.asked, 1) };
    }
    return undefined;
  }

  #count(fault: FaultName, route: Route): void {
    const byRoute = this.#struck.get(fault) ?? new Map<Route, number>();
    byRoute.set(route, (byRoute.get(route) ?? 0) + 1);
    this.#struck.set(fault, byRoute);
  }
}

export const noMisfortunes: Misfortunes = { strike: () => undefined };

/** From 0 to below 1, the same for the same numbers: each is mixed in by the finalizer of MurmurHash3. */
function chance(...numbers: readonly number[]): number {
  let mixed = 0x9e37_79b9;
  for (const number of numbers) {
    mixed = Math.imul(mixed ^ number, 0x9e37_79b1);
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
    mixed ^= mixed >>> 16;
  }
  return (mixed >>> 0) / 2 ** 32;
}
