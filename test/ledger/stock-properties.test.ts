import fc from 'fast-check';
import { encode as pack } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';

import { decodeAnswer } from '../../store/ledger/answers.ts';
import { encodeCommand } from '../../store/ledger/commands.ts';
import type { Command } from '../../store/ledger/commands.ts';
import type { SnapshotCursor } from '../../store/ledger/machine.ts';
import type { StockLevel } from '../../store/ledger/port.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import type { StockMachine } from '../../store/ledger/stock.ts';
import { histories, startAt, syncs } from './histories.ts';
import type { Step } from './histories.ts';
import { LedgerModel } from './model.ts';
import { canonical, chunksOf, restoredFrom, snapshotOf, stateOf } from './snapshots.ts';

function bySku(levels: readonly StockLevel[]): readonly StockLevel[] {
  return [...levels].sort((left, right) => (left.sku < right.sku ? -1 : 1));
}

function sweepAll(machine: StockMachine, at: number): void {
  for (let due = machine.due(at); due !== undefined; due = machine.due(at)) machine.apply(at, due);
}

function restarted(machine: StockMachine): StockMachine {
  const restored = restoredFrom(snapshotOf(machine, 1));
  expect(stateOf(restored)).toBe(stateOf(machine));
  return restored;
}

/** Runs `steps` and lets `observe` look at the machine after each. */
function run(
  steps: readonly Step[],
  observe: (machine: StockMachine, at: number, command: Command | undefined, answer: unknown) => void,
): StockMachine {
  let machine = createStockMachine();
  let at = startAt;
  for (const { elapsedMs, action } of steps) {
    at += elapsedMs;
    if (action === 'restart') machine = restarted(machine);
    else if (action === 'sweep') sweepAll(machine, at);
    const command = typeof action === 'string' ? undefined : action;
    const answer = command && decodeAnswer(machine.apply(at, encodeCommand(command)));
    observe(machine, at, command, answer);
  }
  return machine;
}

describe('stock machine, over random histories', () => {
  test('answers as the naive model does, whatever was swept or restarted in between (L1, L4, L6, L8, L11)', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const model = new LedgerModel();
        const machine = run(steps, (running, at, command, answer) => {
          if (command !== undefined) expect(answer).toEqual(model.apply(at, command));
          expect(running.lastSyncAt()).toBe(model.lastSyncAt);
          expect([...running.unappliedSales()].sort()).toEqual(model.unappliedSales().sort());
        });
        const end = startAt + steps.reduce((sum, step) => sum + step.elapsedMs, 0);
        sweepAll(machine, end);
        model.apply(end, { kind: 'claim', orderId: 'end', registration: 'n1:1' });
        expect(bySku(machine.stocks())).toEqual(bySku(model.levels()));
      }),
      { seed: 41, numRuns: 1_500 },
    );
  });

  test('after each sweep the levels are those of the model (L5)', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const model = new LedgerModel();
        run(steps, (machine, at, command) => {
          sweepAll(machine, at);
          if (command !== undefined) model.apply(at, command);
          else model.apply(at, { kind: 'claim', orderId: 'now', registration: 'n1:1' });
          expect(bySku(machine.stocks())).toEqual(bySku(model.levels()));
        });
      }),
      { seed: 42, numRuns: 700 },
    );
  });

  test('makes and loses no unit, and never oversells (L2, L3, L5)', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const seen = new Set<string>();
        let before = new Map<string, StockLevel>();
        run(steps, (machine, _at, command, answer) => {
          expect(machine.conservationResidual()).toBe(0);
          const after = new Map(machine.stocks().map((stock) => [stock.sku, stock]));
          for (const stock of after.values()) {
            expect(stock.available + stock.held + stock.sold).toBe(stock.onHand);
            expect(Math.min(stock.held, stock.sold)).toBeGreaterThanOrEqual(0);
          }
          if (command?.kind === 'hold' && !seen.has(command.orderId)) {
            const granted = (answer as { kind: string }).kind === 'held';
            for (const { sku } of command.lines) {
              const available = after.get(sku)?.available ?? 0;
              if (granted) expect(available).toBeGreaterThanOrEqual(0);
              // Nothing of a refused hold sticks; what was due may have come back meanwhile.
              else expect(available).toBeGreaterThanOrEqual(before.get(sku)?.available ?? 0);
            }
          }
          if (command !== undefined && 'orderId' in command && command.kind !== 'claim') {
            if (command.kind !== 'commit') seen.add(command.orderId);
          }
          before = after;
        });
      }),
      { seed: 43, numRuns: 1_000 },
    );
  });

  test('two replicas that apply the same log answer byte for byte the same, and are the same (L9)', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const log: { at: number; command: Uint8Array; answer: Uint8Array }[] = [];
        const leader = createStockMachine();
        let at = startAt;
        for (const { elapsedMs, action } of steps) {
          at += elapsedMs;
          const command =
            action === 'sweep' ? leader.due(at) : action === 'restart' ? undefined : encodeCommand(action);
          if (command !== undefined) log.push({ at, command, answer: leader.apply(at, command) });
        }
        let replica = createStockMachine();
        for (const [index, entry] of log.entries()) {
          // The replica came back from a snapshot half-way; the leader never did.
          if (index === log.length >> 1) replica = restarted(replica);
          expect(Buffer.compare(replica.apply(entry.at, entry.command), entry.answer)).toBe(0);
        }
        expect(stateOf(replica)).toBe(stateOf(leader));
      }),
      { seed: 44, numRuns: 700 },
    );
  });

  test('a snapshot read bit by bit while commands go on is that of the moment it was begun (L9)', () => {
    const reads = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 10, maxLength: 10 });
    fc.assert(
      fc.property(histories, fc.nat(79), reads, (steps, begunAt, chunksPerStep) => {
        const undisturbed: unknown[] = [];
        run(steps, (_machine, _at, _command, answer) => undisturbed.push(answer));
        const answers: unknown[] = [];
        let atOnce: Uint8Array[] | undefined;
        let cursor: SnapshotCursor | undefined;
        const chunks: Uint8Array[] = [];
        run(
          // A restart would replace the machine, and with it what the cursor reads.
          steps.map((step) => (step.action === 'restart' ? { ...step, action: 'sweep' } : step)),
          (machine, _at, _command, answer) => {
            const step = answers.push(answer) - 1;
            if (step === begunAt % steps.length) {
              atOnce = snapshotOf(machine);
              cursor = machine.beginSnapshot();
            }
            for (let left = chunksPerStep[step % chunksPerStep.length] ?? 0; left > 0; left -= 1) {
              const chunk = cursor?.next(1);
              if (chunk !== undefined) chunks.push(chunk);
            }
          },
        );
        if (cursor !== undefined) chunks.push(...chunksOf(cursor));
        expect(canonical(chunks)).toBe(canonical(atOnce ?? []));
        expect(stateOf(restoredFrom(chunks))).toBe(canonical(chunks));
        expect(answers).toEqual(undisturbed);
      }),
      { seed: 48, numRuns: 1_500 },
    );
  });

  test('whatever the bytes, nothing throws and nothing malformed changes the state (L10)', () => {
    const opcode = fc.integer({ min: 0, max: 9 });
    const field = fc.oneof(
      fc.constantFrom<unknown>('o1', 'apple', 'f', '', 0, 1, 2, -1, 1.5, NaN, 2 ** 53, null, true, []),
      fc.constantFrom<unknown>(['apple', 1], ['apple', 1.5], ['apple', 'apple'], ['apple'], [[]]),
      fc.constantFrom<unknown>(['apple', 2 ** 53 - 1, 'apple', 1], ['apple', 'Apple', 1, 'EUR', 3]),
      fc.anything(),
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.tuple(opcode, fc.array(field, { maxLength: 7 })).map(([code, rest]) => tryPack([code, ...rest])),
    );
    const machine = createStockMachine();
    let at = startAt;
    fc.assert(
      fc.property(bytes, (command) => {
        const before = stateOf(machine);
        const answer = decodeAnswer(machine.apply((at += 1), command));
        if (answer.kind === 'malformed') expect(stateOf(machine)).toBe(before);
        expect(machine.conservationResidual()).toBe(0);
      }),
      { seed: 45, numRuns: 5_000 },
    );
  });

  test('a sync in parts does what it does whole, and nothing before its last part (L7)', () => {
    fc.assert(
      fc.property(histories, syncs, fc.integer({ min: 1, max: 4 }), (steps, last, parts) => {
        const whole = run(steps, () => undefined);
        let inParts = run(steps, () => undefined);
        const at = startAt + 10_000;
        const sync = { ...last, takenAt: 50 };
        whole.apply(at, encodeCommand(sync));

        const levelsBefore = inParts.stocks();
        for (let part = 0; part < parts; part += 1) {
          expect(inParts.stocks()).toEqual(levelsBefore);
          const mine = <T>(items: readonly T[]): readonly T[] =>
            items.filter((_, index) => index % parts === part);
          const command = encodeCommand({
            ...sync,
            part,
            parts,
            products: mine(sync.products),
            removed: mine(sync.removed),
            applied: mine(sync.applied),
          });
          const outcome = part === parts - 1 ? 'applied' : 'staged';
          expect(decodeAnswer(inParts.apply(at, command))).toEqual({ kind: 'synced', outcome });
          // The same part again, by a retry, changes nothing; nor does a restart between two parts.
          if (outcome === 'staged') inParts.apply(at, command);
          inParts = restarted(inParts);
        }
        expect(bySku(inParts.stocks())).toEqual(bySku(whole.stocks()));
        expect(stateOf(inParts)).toBe(stateOf(whole));
        expect(inParts.conservationResidual()).toBe(0);
      }),
      { seed: 46, numRuns: 500 },
    );
  });
});

function tryPack(value: unknown): Uint8Array {
  try {
    return pack(value);
  } catch {
    return new Uint8Array();
  }
}
