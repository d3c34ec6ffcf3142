import { describe, expect, test } from 'vitest';

import type { Environment } from '../../store/environment.ts';
import { decodeCommand } from '../../store/ledger/commands.ts';
import { createLedger, InvalidCommandError } from '../../store/ledger/ledger.ts';
import type { LedgerLog } from '../../store/ledger/ledger.ts';
import { limits } from '../../store/ledger/limits.ts';
import { LedgerError } from '../../store/ledger/port.ts';
import type { LedgerStatus, ProductRow } from '../../store/ledger/port.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';

const silent: Pick<Environment, 'log'> = {
  log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
};

/** A log of one member: every command is decided at once, unless `meddle` does something first. */
function oneMemberLedger(meddle: (command: Uint8Array, index: number) => void = () => {}) {
  const machine = createStockMachine();
  const commands: Uint8Array[] = [];
  const status: LedgerStatus = {
    role: 'leader',
    term: 1,
    lastIndex: 0,
    commitIndex: 0,
    appliedIndex: 0,
    match: {},
  };
  const log: LedgerLog = {
    submit: async (command) => {
      meddle(command, commands.length);
      commands.push(command);
      return machine.apply(1_000 + commands.length, command);
    },
    status: () => status,
    freshness: () => ({ linearizable: true, asOf: 1_000 + commands.length }),
    onLeadership: () => () => {},
  };
  const ledger = createLedger({ commandTimeoutMs: 1_000 }, { log, machine, environment: silent });
  return { ledger, machine, commands };
}

function product(sku: string, onHand: number): ProductRow {
  return { sku, name: sku, unitPrice: 250, currency: 'EUR', onHand };
}

const order = (orderId: string, createdAt = 900) => ({ orderId, createdAt });
const [o1, o2, o3] = [order('o1'), order('o2'), order('o3')];
const claimed = { kind: 'claimed', registration: 'n1:1' };

describe('ledger', () => {
  test('carries each command to the machine and its answer back', async () => {
    const { ledger } = oneMemberLedger();
    const products = [product('apple', 2)];
    expect(await ledger.sync({ takenAt: 5, products, removed: [], applied: [] })).toEqual({ applied: true });
    expect(await ledger.sync({ takenAt: 4, products, removed: [], applied: [] })).toEqual({ applied: false });

    const hold = { ...o1, fingerprint: 'f', lines: [{ sku: 'apple', quantity: 2 }], ttlMs: 500 };
    expect(await ledger.hold(hold)).toMatchObject({ kind: 'held' });
    expect(await ledger.hold({ ...hold, fingerprint: 'g' })).toEqual({ kind: 'conflict' });
    const refused = { kind: 'refused', reason: 'OUT_OF_STOCK', sku: 'apple' };
    expect(await ledger.hold({ ...hold, orderId: 'o2' })).toEqual(refused);
    expect(await ledger.commit(o1)).toEqual({ kind: 'committed' });
    expect(await ledger.commit(o2)).toEqual({ kind: 'absent' });
    expect(await ledger.release({ ...o1, reason: 'cancelled' })).toEqual({ kind: 'committed' });
    expect(await ledger.release({ ...o2, reason: 'failed' })).toEqual({ kind: 'released', reason: 'failed' });
    expect(await ledger.claim({ ...o3, registration: 'n1:1' })).toEqual(claimed);
    expect(await ledger.claim({ ...o3, registration: 'n2:1' })).toEqual(claimed);
    expect(await ledger.adjust({ id: 'a1', sku: 'apple', delta: 3 })).toEqual({ applied: true });
    expect(await ledger.adjust({ id: 'a2', sku: 'nowhere', delta: 3 })).toEqual({ applied: false });

    expect(ledger.stock('apple')).toEqual({ ...product('apple', 5), held: 0, sold: 2, available: 3 });
    expect(ledger.unappliedSales()).toEqual(['o1']);
    expect(ledger.lastSyncAt()).toBe(5);
    expect(ledger.conservationResidual()).toBe(0);
  });

  test('forgets what ended before the horizon, tells it, and says so to whoever asks again', async () => {
    const { ledger } = oneMemberLedger();
    const heard: number[] = [];
    ledger.onHorizon(() => {
      throw new Error('a handler that fails is its own affair');
    });
    ledger.onHorizon((horizon) => heard.push(horizon));
    await ledger.release({ ...o1, reason: 'failed' });
    expect(await ledger.forget(1_002)).toEqual({ horizon: 1_002 });
    expect(await ledger.forget(500)).toEqual({ horizon: 1_002 });
    expect(ledger.horizon()).toBe(1_002);
    expect(heard).toEqual([1_002]);

    const lines = [{ sku: 'apple', quantity: 1 }];
    const forgotten = { kind: 'forgotten' };
    expect(await ledger.hold({ ...o1, fingerprint: 'f', lines, ttlMs: 500 })).toEqual(forgotten);
    expect(await ledger.commit(o1)).toEqual(forgotten);
    expect(await ledger.release({ ...o1, reason: 'failed' })).toEqual(forgotten);
    expect(await ledger.claim({ ...o1, registration: 'n1:1' })).toEqual(forgotten);
    const heardLate: number[] = [];
    ledger.onHorizon((horizon) => heardLate.push(horizon));
    expect(heardLate).toEqual([1_002]);
  });

  test('what makes no sense is refused before it costs a place in the log', async () => {
    const { ledger, commands } = oneMemberLedger();
    const hold = { ...o1, fingerprint: 'f', lines: [{ sku: 'apple', quantity: 1 }], ttlMs: 500 };
    const nonsense = [
      { ...hold, orderId: '' },
      { ...hold, lines: [] },
      { ...hold, lines: [{ sku: 'apple', quantity: 0.5 }] },
      { ...hold, lines: [{ sku: 'apple', quantity: -1 }] },
      { ...hold, lines: [{ sku: 'apple', quantity: 2 ** 53 }] },
      { ...hold, ttlMs: limits.holdTtlMsMax + 1 },
    ];
    for (const bad of nonsense) await expect(ledger.hold(bad)).rejects.toThrow(InvalidCommandError);
    expect(commands).toHaveLength(0);
  });

  test('an undecided command rejects as the log says', async () => {
    const { ledger } = oneMemberLedger(() => {
      throw new LedgerError('NO_LEADER', 'none');
    });
    await expect(ledger.commit(o1)).rejects.toMatchObject({ code: 'NO_LEADER' });
  });

  test('a sync whose rows are as long as they may be still travels in parts that fit into the log', async () => {
    const { ledger, commands } = oneMemberLedger();
    const products = Array.from({ length: 3_000 }, (_, place) => ({
      ...product(`${place}${'茶'.repeat(limits.identifierLengthMax - 4)}`, 1),
      name: '茶'.repeat(limits.productNameLengthMax),
    }));
    expect(await ledger.sync({ takenAt: 5, products, removed: [], applied: [] })).toEqual({ applied: true });
    expect(ledger.stocks()).toHaveLength(3_000);
    expect(Math.max(...commands.map(({ byteLength }) => byteLength))).toBeLessThan(limits.commandBytesMax);
  });

  test('a large sync travels in bounded parts and takes effect as one, though another broke in', async () => {
    const rows = limits.syncEntriesPerPart * 2 + 7;
    const intruder = createLedgerIntruder();
    const { ledger, machine, commands } = oneMemberLedger((_command, index) => {
      // An unfinished sync of the same moment, from a leader that was deposed: parts of it are not ours.
      if (index === 1) machine.apply(1_000, intruder);
      expect(machine.stocks()).toHaveLength(0);
    });
    const products = Array.from({ length: rows }, (_, index) => product(`sku-${index}`, index));
    const applied = Array.from({ length: 10 }, (_, index) => `order-${index}`);
    expect(await ledger.sync({ takenAt: 50, products, removed: [], applied })).toEqual({ applied: true });
    expect(machine.stocks()).toHaveLength(rows);
    expect(commands.length).toBeGreaterThan(3);
    for (const command of commands) expect(command.length).toBeLessThan(256 * 1024);
  });
});

/** Part 0 of 9, as of the same moment as the sync in the test. */
function createLedgerIntruder(): Uint8Array {
  const { commands, ledger } = oneMemberLedger();
  const removed = Array.from({ length: limits.syncEntriesPerPart * 9 }, (_, index) => `gone-${index}`);
  void ledger.sync({ takenAt: 50, products: [], removed, applied: [] });
  const first = commands[0] ?? new Uint8Array();
  expect(decodeCommand(first)).toMatchObject({ kind: 'stockSync', part: 0, parts: 9 });
  return first;
}
