import { describe, expect, it } from 'vitest';
import { encodeCommand } from '../../store/ledger/commands.ts';
import type { Command } from '../../store/ledger/commands.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';

const startAt = 1_700_000_000_000;
const lines = [{ sku: 'tea', quantity: 2 }];

/** A machine with ten units, and shorthands for what is done to it. */
function shop() {
  const machine = createStockMachine();
  const send = (command: Command): void => void machine.apply(startAt, encodeCommand(command));
  const sync = (takenAt: number, applied: readonly string[]): void =>
    send({
      kind: 'stockSync',
      takenAt,
      part: 0,
      parts: 1,
      products: [{ sku: 'tea', name: 'Tea', unitPrice: 100, currency: 'EUR', onHand: 10 }],
      removed: [],
      applied,
    });
  sync(1, []);
  return {
    machine,
    sync,
    hold: (orderId: string) =>
      send({ kind: 'hold', orderId, createdAt: startAt, fingerprint: 'f', ttlMs: 1_000, lines }),
    commit: (orderId: string) => send({ kind: 'commit', orderId, createdAt: startAt }),
    release: (orderId: string) => send({ kind: 'release', orderId, createdAt: startAt, reason: 'cancelled' }),
  };
}

describe('what the ledger keeps of an order', () => {
  it('is told for each of its states, with lines while units are promised', () => {
    const { machine, hold, commit, release, sync } = shop();
    for (const id of ['held', 'sold', 'counted', 'back']) hold(id);
    commit('sold');
    commit('counted');
    sync(2, ['counted']);
    release('back');
    expect(machine.order('held')).toEqual({
      orderId: 'held',
      kind: 'held',
      expiresAt: startAt + 1_000,
      lines,
    });
    expect(machine.order('sold')).toEqual({ orderId: 'sold', kind: 'committed', counted: false, lines });
    expect(machine.order('counted')).toMatchObject({ kind: 'committed', counted: true, lines: [] });
    expect(machine.order('back')).toMatchObject({ kind: 'released', lines: [] });
    expect(machine.order('nobody')).toBeUndefined();
  });

  it('adds up to what is held and sold', () => {
    const { machine, hold, commit, release } = shop();
    for (const id of ['a', 'b', 'c', 'd']) hold(id);
    commit('a');
    release('b');
    const units = (kind: 'held' | 'committed'): number =>
      machine
        .promises()
        .filter((promise) => promise.kind === kind)
        .flatMap((promise) => promise.lines)
        .reduce((sum, { quantity }) => sum + quantity, 0);
    expect(machine.stock('tea')).toMatchObject({ held: units('held'), sold: units('committed') });
    expect([units('held'), units('committed')]).toEqual([4, 2]);
  });
});
