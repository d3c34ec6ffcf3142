import type { SnapshotCursor } from '../../store/ledger/machine.ts';
import { unpack } from '../../store/ledger/msgpack.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import type { StockMachine } from '../../store/ledger/stock.ts';

/** The rest of what a cursor reads. */
export function chunksOf(cursor: SnapshotCursor, bytesMax = 64 * 1024): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(bytesMax); chunk !== undefined; chunk = cursor.next(bytesMax))
    chunks.push(chunk);
  return chunks;
}

export function snapshotOf(machine: StockMachine, bytesMax?: number): Uint8Array[] {
  return chunksOf(machine.beginSnapshot(), bytesMax);
}

/** A snapshot without its division into chunks and the order of its rows: equal for equal states. */
export function canonical(chunks: readonly Uint8Array[]): string {
  const [head, ...rest] = chunks.map((chunk) => unpack(chunk) as unknown[]);
  const rows = rest.flatMap(([kind, ...fields]) => fields.map((field) => JSON.stringify([kind, field])));
  return [JSON.stringify(head), ...rows.sort()].join('\n');
}

/** What a machine is, as far as anybody can ever see. */
export function stateOf(machine: StockMachine): string {
  return canonical(snapshotOf(machine));
}

export function restoredFrom(chunks: readonly Uint8Array[]): StockMachine {
  const machine = createStockMachine();
  const restore = machine.beginRestore();
  for (const chunk of chunks) restore.add(chunk);
  restore.finish();
  return machine;
}
