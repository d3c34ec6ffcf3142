import { describe, expect, test } from 'vitest';

import { decodeAnswer } from '../../store/ledger/answers.ts';
import type { StockAnswer } from '../../store/ledger/answers.ts';
import { encodeCommand } from '../../store/ledger/commands.ts';
import type { Command } from '../../store/ledger/commands.ts';
import { limits } from '../../store/ledger/limits.ts';
import type { StockLine } from '../../store/ledger/port.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import { chunksOf, restoredFrom, snapshotOf, stateOf } from './snapshots.ts';

const startAt = 1_700_000_000_000;

/** A machine at a time that the test moves, with shorthands for its commands. */
function shop(onHand: Readonly<Record<string, number>>) {
  const machine = createStockMachine();
  let at = startAt;
  const send = (command: Command): StockAnswer => decodeAnswer(machine.apply(at, encodeCommand(command)));
  const sync = (
    figures: Readonly<Record<string, number>>,
    rest: { applied?: readonly string[]; removed?: readonly string[]; takenAt?: number } = {},
  ) =>
    send({
      kind: 'stockSync',
      takenAt: rest.takenAt ?? at,
      part: 0,
      parts: 1,
      products: Object.entries(figures).map(([sku, units]) => ({
        sku,
        name: sku,
        unitPrice: 100,
        currency: 'EUR',
        onHand: units,
      })),
      removed: rest.removed ?? [],
      applied: rest.applied ?? [],
    });
  sync(onHand);
  return {
    machine,
    send,
    sync,
    now: () => at,
    pass: (ms: number) => (at += ms),
    hold: (orderId: string, lines: readonly StockLine[], ttlMs = 1_000, fingerprint = 'f') =>
      send({ kind: 'hold', orderId, fingerprint, ttlMs, lines }),
    commit: (orderId: string) => send({ kind: 'commit', orderId }),
    release: (orderId: string) => send({ kind: 'release', orderId, reason: 'cancelled' }),
  };
}

const one = (sku: string): readonly StockLine[] => [{ sku, quantity: 1 }];

describe('stock machine', () => {
  test('500 units and 5,000 holds, each sent twice: exactly 500 are granted (L3)', () => {
    const { hold, commit, machine } = shop({ ticket: 500 });
    let held = 0;
    for (let buyer = 0; buyer < 5_000; buyer += 1) {
      const first = hold(`order-${buyer}`, one('ticket'));
      expect(hold(`order-${buyer}`, one('ticket'))).toEqual(first);
      if (first.kind === 'held') held += 1;
      else expect(first).toEqual({ kind: 'refused', reason: 'OUT_OF_STOCK', sku: 'ticket' });
    }
    expect(held).toBe(500);
    for (let buyer = 0; buyer < 5_000; buyer += 1) commit(`order-${buyer}`);
    expect(machine.stock('ticket')).toMatchObject({ onHand: 500, available: 0, held: 0, sold: 500 });
    expect(machine.unappliedSales()).toHaveLength(500);
    expect(machine.conservationResidual()).toBe(0);
  });

  test('a refused hold takes nothing, though its first lines had stock (L2)', () => {
    const { hold, machine } = shop({ apple: 5, berry: 1 });
    const lines = [
      { sku: 'apple', quantity: 5 },
      { sku: 'berry', quantity: 2 },
    ];
    expect(hold('o1', lines)).toEqual({ kind: 'refused', reason: 'OUT_OF_STOCK', sku: 'berry' });
    expect(hold('o2', [...one('apple'), ...one('nowhere')])).toMatchObject({ reason: 'UNKNOWN_SKU' });
    expect(machine.stock('apple')).toMatchObject({ available: 5, held: 0 });
  });

  test('lines of one SKU count together', () => {
    const { hold } = shop({ apple: 3 });
    const twice = [
      { sku: 'apple', quantity: 2 },
      { sku: 'apple', quantity: 2 },
    ];
    expect(hold('o1', twice)).toMatchObject({ kind: 'refused', sku: 'apple' });
    expect(hold('o2', [...one('apple'), ...one('apple'), ...one('apple')])).toMatchObject({ kind: 'held' });
  });

  test('a refusal stands when units come back, and a release closes it (L1)', () => {
    const { hold, release } = shop({ apple: 1 });
    hold('o1', one('apple'));
    const refused = hold('o2', one('apple'));
    release('o1');
    expect(hold('o2', one('apple'))).toEqual(refused);
    release('o2');
    expect(hold('o2', one('apple'))).toEqual({ kind: 'released', reason: 'cancelled' });
  });

  test('a release that overtakes its hold closes the order (L1)', () => {
    const { hold, commit, release, machine } = shop({ apple: 1 });
    release('o1');
    expect(hold('o1', one('apple'))).toEqual({ kind: 'released', reason: 'cancelled' });
    expect(commit('o1')).toEqual({ kind: 'released', reason: 'cancelled' });
    expect(machine.stock('apple')?.held).toBe(0);
  });

  test('a hold is over at its expiry, before any sweep: not to be committed, not in the way (L6)', () => {
    const { hold, commit, pass } = shop({ apple: 1 });
    const held = hold('o1', one('apple'), 1_000);
    expect(held).toEqual({ kind: 'held', expiresAt: startAt + 1_000 });
    pass(999);
    expect(hold('o2', one('apple'))).toMatchObject({ kind: 'refused' });
    pass(1);
    expect(hold('o3', one('apple'))).toMatchObject({ kind: 'held' });
    expect(commit('o1')).toEqual({ kind: 'expired' });
    expect(commit('o3')).toEqual({ kind: 'committed' });
  });

  test('one sweep is bounded, and the next is due at once', () => {
    const { hold, machine, pass, now } = shop({ apple: 1_000_000 });
    const orders = limits.expiriesPerCommand * 2 + 1;
    for (let order = 0; order < orders; order += 1) hold(`o${order}`, one('apple'), 10);
    expect(machine.due(now())).toBeUndefined();
    pass(10);
    const swept: unknown[] = [];
    for (let due = machine.due(now()); due !== undefined; due = machine.due(now())) {
      swept.push(decodeAnswer(machine.apply(now(), due)));
    }
    const full = { kind: 'swept', holds: limits.expiriesPerCommand };
    expect(swept).toEqual([full, full, { kind: 'swept', holds: 1 }]);
    expect(machine.stock('apple')?.held).toBe(0);
  });

  test('a sale leaves `sold` with the sync that contains it, once (L7)', () => {
    const { hold, commit, sync, machine, pass } = shop({ apple: 10 });
    for (const order of ['o1', 'o2']) {
      hold(order, one('apple'));
      commit(order);
    }
    pass(1_000);
    sync({ apple: 9 }, { applied: ['o1', 'never seen'] });
    expect(machine.stock('apple')).toMatchObject({ onHand: 9, sold: 1, available: 8 });
    sync({ apple: 9 }, { applied: ['o1'] });
    expect(machine.stock('apple')).toMatchObject({ onHand: 9, sold: 1, available: 8 });
    expect(machine.unappliedSales()).toEqual(['o2']);
    const older = sync({ apple: 99 }, { applied: ['o2'], takenAt: startAt + 1 });
    expect(older).toEqual({ kind: 'synced', outcome: 'ignored' });
    expect(machine.stock('apple')).toMatchObject({ onHand: 9, sold: 1 });
  });

  test('shrinkage below what is promised stops the SKU and keeps every promise (L8)', () => {
    const { hold, commit, sync, machine } = shop({ apple: 4 });
    hold('o1', [{ sku: 'apple', quantity: 2 }]);
    hold('o2', one('apple'));
    commit('o2');
    sync({ apple: 1 });
    expect(machine.stock('apple')).toMatchObject({ onHand: 1, held: 2, sold: 1, available: -2 });
    expect(hold('o3', one('apple'))).toMatchObject({ kind: 'refused', reason: 'OUT_OF_STOCK' });
    expect(commit('o1')).toEqual({ kind: 'committed' });
  });

  test('a dropped SKU sells no more, and is forgotten when nothing of it is promised (L8)', () => {
    const { hold, commit, sync, machine } = shop({ apple: 4, berry: 4 });
    hold('o1', one('apple'));
    commit('o1');
    sync({}, { removed: ['apple', 'berry'] });
    expect(hold('o2', one('apple'))).toMatchObject({ kind: 'refused', reason: 'UNKNOWN_SKU' });
    expect(machine.stock('berry')).toBeUndefined();
    expect(machine.stock('apple')).toMatchObject({ onHand: 0, sold: 1, available: -1 });
    sync({}, { applied: ['o1'] });
    expect(machine.stock('apple')).toBeUndefined();
    sync({ apple: 3 });
    expect(hold('o3', one('apple'))).toMatchObject({ kind: 'held' });
  });

  test('a correction counts once, until a sync reads the real figure, of this SKU or another (L11)', () => {
    const { send, sync, machine } = shop({ apple: 4, berry: 4 });
    const broken = { kind: 'adjust', id: 'a1', sku: 'apple', delta: -3 } as const;
    expect(send(broken)).toEqual({ kind: 'adjusted', applied: true });
    expect(send(broken)).toEqual({ kind: 'adjusted', applied: true });
    expect(machine.stock('apple')?.onHand).toBe(1);
    sync({ berry: 9 });
    expect(machine.stock('apple')?.onHand).toBe(4);
  });

  test('a sync that names a SKU twice is refused whole', () => {
    const { sync, machine } = shop({ apple: 4 });
    expect(sync({ apple: 9 }, { removed: ['apple'] })).toMatchObject({ kind: 'malformed' });
    expect(machine.stock('apple')?.onHand).toBe(4);
  });

  test('a sync whose part is missing asks for a new start, and an older one cannot break in (L7)', () => {
    const { send, machine } = shop({ apple: 4 });
    const part = (takenAt: number, index: number, parts = 3) =>
      send({ kind: 'stockSync', takenAt, part: index, parts, products: [], removed: [], applied: [] });
    const later = startAt + 10;
    expect(part(later, 1)).toEqual({ kind: 'synced', outcome: 'gap' });
    expect(part(later, 0)).toEqual({ kind: 'synced', outcome: 'staged' });
    expect(part(later - 1, 0)).toEqual({ kind: 'synced', outcome: 'ignored' });
    expect(part(later, 2)).toEqual({ kind: 'synced', outcome: 'gap' });
    expect(part(later + 1, 1)).toEqual({ kind: 'synced', outcome: 'gap' });
    expect(part(later, 1, 4)).toEqual({ kind: 'synced', outcome: 'gap' });
    expect(part(later, 1)).toEqual({ kind: 'synced', outcome: 'staged' });
    expect(machine.lastSyncAt()).toBe(startAt);
    expect(part(later, 2)).toEqual({ kind: 'synced', outcome: 'applied' });
    expect(machine.lastSyncAt()).toBe(later);
  });

  test('a command over its bounds is refused whole', () => {
    const { hold, send, machine } = shop({ apple: 9 });
    const lines = Array.from({ length: limits.linesPerHoldMax + 1 }, (_, line) => one(`sku-${line}`)).flat();
    expect(hold('o1', lines)).toEqual({ kind: 'malformed', detail: 'lines' });
    const removed = Array.from({ length: limits.syncEntriesPerPart }, (_, row) => `sku-${row}`);
    const part = { kind: 'stockSync', takenAt: startAt + 1, part: 0, parts: 1, products: [] } as const;
    expect(send({ ...part, removed, applied: ['o1'] })).toMatchObject({ kind: 'malformed' });
    expect(machine.lastSyncAt()).toBe(startAt);
    expect(send({ ...part, removed, applied: [] })).toEqual({ kind: 'synced', outcome: 'applied' });
  });

  test('the first claim of an order stands', () => {
    const { send } = shop({});
    const claim = (registration: string) => send({ kind: 'claim', orderId: 'o1', registration });
    expect(claim('n1:4')).toEqual({ kind: 'claimed', registration: 'n1:4' });
    expect(claim('n2:9')).toEqual({ kind: 'claimed', registration: 'n1:4' });
  });

  test('what ended before the horizon is forgotten at once, and nothing about it is recorded again (L13)', () => {
    const { send, hold, commit, sync, pass, machine } = shop({ apple: 4 });
    const order = { orderId: 'o1', createdAt: startAt };
    hold('o1', one('apple'));
    commit('o1');
    send({ kind: 'claim', ...order, registration: 'n1:1' });
    sync({ apple: 3 }, { applied: ['o1'] });
    pass(1_000);
    expect(stateOf(machine)).toContain('o1');
    expect(send({ kind: 'forget', before: startAt + 1 })).toEqual({ kind: 'horizon', horizon: startAt + 1 });
    expect(stateOf(machine)).not.toContain('o1');
    const forgotten = { kind: 'forgotten' };
    const again = { ...order, kind: 'hold', fingerprint: 'f', ttlMs: 10, lines: one('apple') } as const;
    expect(send(again)).toEqual(forgotten);
    expect(send({ kind: 'commit', ...order })).toEqual(forgotten);
    expect(send({ kind: 'release', ...order, reason: 'failed' })).toEqual(forgotten);
    expect(send({ kind: 'claim', ...order, registration: 'n2:1' })).toEqual(forgotten);
    expect(machine.stock('apple')).toMatchObject({ held: 0, available: 3 });
    // The same id, of an order that was created since: another order.
    expect(send({ ...again, createdAt: startAt + 1 })).toMatchObject({ kind: 'held' });
  });

  test('an order that promises units is never forgotten, nor one that was created or closed since (L12)', () => {
    const { send, pass, sync, now } = shop({ apple: 9 });
    const lines = one('apple');
    const about = (orderId: string, createdAt = startAt) => ({ orderId, createdAt });
    const hold = (orderId: string, createdAt = startAt) =>
      send({ kind: 'hold', ...about(orderId, createdAt), fingerprint: 'f', ttlMs: 100_000, lines });
    for (const orderId of ['held', 'sold', 'released late']) hold(orderId);
    send({ kind: 'commit', ...about('sold') });
    send({ kind: 'release', ...about('created later'), reason: 'failed' });
    // Another node has a later registration of the same order, and may ask for it.
    send({ kind: 'release', ...about('created later', startAt + 600), reason: 'failed' });
    pass(500);
    send({ kind: 'release', ...about('released late'), reason: 'failed' });
    pass(500);
    const horizon = startAt + 500;
    expect(send({ kind: 'forget', before: horizon })).toEqual({ kind: 'horizon', horizon });

    expect(send({ kind: 'commit', ...about('held') })).toEqual({ kind: 'committed' });
    expect(send({ kind: 'commit', ...about('sold') })).toEqual({ kind: 'committed' });
    const released = { kind: 'released', reason: 'failed' };
    expect(send({ kind: 'commit', ...about('released late') })).toEqual(released);
    expect(send({ kind: 'commit', ...about('created later') })).toEqual(released);
    sync({ apple: 7 }, { applied: ['held', 'sold'] });
    pass(1);
    send({ kind: 'forget', before: now() });
    for (const orderId of ['held', 'sold', 'released late', 'created later'])
      expect(hold(orderId)).toEqual({ kind: 'forgotten' });
  });

  test('the horizon never goes back and never passes the stamp (L12)', () => {
    const { send, now } = shop({});
    expect(send({ kind: 'forget', before: startAt + 1e9 })).toEqual({ kind: 'horizon', horizon: now() });
    expect(send({ kind: 'forget', before: 5 })).toEqual({ kind: 'horizon', horizon: now() });
    const young = { orderId: 'o1', createdAt: now() };
    expect(send({ kind: 'commit', ...young })).toEqual({ kind: 'absent' });
    // An older program does not say when its orders were created.
    expect(send({ kind: 'commit', orderId: 'o2' })).toEqual({ kind: 'absent' });
  });

  test('forgetting is bounded per command, and the next is due at once', () => {
    const { send, release, machine, pass, now } = shop({});
    const orders = limits.forgottenPerCommand * 2 + 2;
    for (let order = 0; order < orders; order += 1) release(`o${order}`);
    pass(1);
    expect(machine.due(now())).toBeUndefined();
    send({ kind: 'forget', before: now() });
    // Forgotten is forgotten, dropped yet or not (L13).
    const last = { orderId: 'o999', createdAt: startAt };
    expect(send({ kind: 'commit', ...last })).toEqual({ kind: 'forgotten' });
    const remembered = stateOf(machine);
    let commands = 0;
    for (let due = machine.due(now()); due !== undefined; due = machine.due(now())) {
      machine.apply(now(), due);
      commands += 1;
    }
    expect(commands).toBe(2);
    expect(stateOf(machine)).toBe(remembered);
  });

  test('a snapshot that does not add up, lacks a chunk, or is of another version, is not restored', () => {
    const { hold, machine } = shop({ apple: 4 });
    hold('o1', one('apple'));
    const chunks = snapshotOf(machine, 1).map((chunk) => Buffer.from(chunk));
    expect(stateOf(restoredFrom(chunks))).toBe(stateOf(machine));

    for (let missing = 0; missing < chunks.length; missing += 1)
      expect(() => restoredFrom(chunks.toSpliced(missing, 1))).toThrow(/invariant/);
    // onHand, held, sold and listed stand one after the other: make the one held unit two.
    const [units] = chunks.filter((chunk) => chunk.includes(Buffer.from([4, 1, 0, 0xc3])));
    const at = units?.indexOf(Buffer.from([4, 1, 0, 0xc3])) ?? -1;
    expect(at).toBeGreaterThan(0);
    units?.writeUInt8(2, at + 1);
    expect(() => restoredFrom(chunks)).toThrow(/units/);
    chunks[0]?.writeUInt8(99, 2);
    expect(() => restoredFrom(chunks)).toThrow(/version/);
  });

  test('chunks keep within their bytes, however much changed since the last one', () => {
    const { hold, release, machine } = shop({ apple: 5_000 });
    for (let order = 0; order < 3_000; order += 1) hold(`order-${order}`, one('apple'));
    const before = stateOf(machine);
    const cursor = machine.beginSnapshot();
    for (let order = 0; order < 2_000; order += 1) release(`order-${order}`);
    const chunks = chunksOf(cursor, 4_096);
    expect(Math.max(...chunks.map(({ byteLength }) => byteLength))).toBeLessThanOrEqual(4_096);
    expect(Math.min(...chunks.slice(1, -2).map(({ byteLength }) => byteLength))).toBeGreaterThan(1_024);
    expect(stateOf(restoredFrom(chunks))).toBe(before);
  });

  test('one snapshot at a time: another one ends it, and so does a restored state', () => {
    const { hold, machine } = shop({ apple: 5 });
    hold('o1', one('apple'));
    const first = machine.beginSnapshot();
    first.next(1);
    const second = chunksOf(machine.beginSnapshot());
    expect(() => first.next(1)).toThrow(/abandoned/);
    const third = machine.beginSnapshot();
    const restore = machine.beginRestore();
    for (const chunk of second) restore.add(chunk);
    restore.finish();
    expect(() => third.next(1)).toThrow(/abandoned/);
    expect(stateOf(machine)).toBe(stateOf(restoredFrom(second)));
  });
});
