import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '../../support/postgres-server.ts';
import { faults, mixOf } from '../nemesis/faults.ts';
import type { Fault, World } from '../nemesis/faults.ts';

/** What befalls the shop while it sells, and when: by the share of its customers that were served. */
export interface Act {
  /** 0 to below 1. */
  readonly from: number;
  readonly fault: Fault;
}

const lookEveryMs = 100;

/** Node kills, and a PostgreSQL that hangs once and crashes once, each time for `outageMs`; both at once at the end. */
export function stormActs(database: PostgresServer, outageMs: number): readonly Act[] {
  return [
    { from: 0.08, fault: faults.killFollower },
    { from: 0.2, fault: freezingDatabase(database, outageMs) },
    { from: 0.4, fault: faults.killLeader },
    { from: 0.55, fault: mixOf([crashingDatabase(database, outageMs), faults.killFollower]) },
    { from: 0.75, fault: faults.killLeader },
    { from: 0.85, fault: faults.killFollower },
  ];
}

/** The same in short: one outage, one kill. */
export function shortActs(database: PostgresServer, outageMs: number): readonly Act[] {
  return [
    { from: 0.15, fault: crashingDatabase(database, outageMs) },
    { from: 0.5, fault: faults.killLeader },
  ];
}

/** Its sessions stay open and nothing answers, as when a machine hangs. */
export function freezingDatabase(database: PostgresServer, outageMs: number): Fault {
  return onDatabase('PostgreSQL hangs', outageMs, {
    break: () => database.pause(),
    mend: () => {
      database.resume();
      return Promise.resolve();
    },
  });
}

export function crashingDatabase(database: PostgresServer, outageMs: number): Fault {
  return onDatabase('PostgreSQL crashes', outageMs, {
    break: () => database.kill(),
    mend: () => database.revive(),
  });
}

function onDatabase(
  name: string,
  outageMs: number,
  act: { readonly break: () => Promise<void>; readonly mend: () => Promise<void> },
): Fault {
  const kind = { name, servesOn: true, mixes: true };
  return {
    ...kind,
    run: (world) => world.strike(kind, 'postgres', { ...act, holdMs: [outageMs, outageMs] }),
  };
}

/** The provider hangs for the first half of the time; for the second nobody listens. */
export function losingProvider(outageMs: number): Fault {
  const kind = { name: 'the provider hangs, then is dead', servesOn: false, mixes: false };
  return {
    ...kind,
    run: (world) =>
      world.strike(kind, 'sandbox', {
        break: async () => {
          await world.cluster.pause('sandbox');
          await delay(outageMs / 2);
          await world.cluster.kill('sandbox');
        },
        holdMs: [outageMs / 2, outageMs / 2],
        mend: () => world.cluster.revive('sandbox'),
      }),
  };
}

/**
 * One after the other, none before its time. What did not begin before the last customer was served does not happen:
 * gives the acts that did.
 */
export async function perform(
  acts: readonly Act[],
  { world, share }: { readonly world: World; readonly share: () => number },
): Promise<readonly Act[]> {
  const performed: Act[] = [];
  for (const act of acts) {
    while (share() < act.from) await delay(lookEveryMs);
    if (share() >= 1) break;
    await act.fault.run(world);
    performed.push(act);
  }
  return performed;
}
