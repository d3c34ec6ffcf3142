import type { RecordedEvent } from '../orders/events.ts';
import type { OrderState } from '../orders/order.ts';
import type { Table } from '../../store/tables.ts';
import { decodeJson, encodeJson } from './codec.ts';
import {
  ageKey,
  CHECKPOINT_KEY,
  orderIdOfKey,
  orderKey,
  statePrefix,
  STATES,
  within,
  type TableOperation,
} from './table-layout.ts';

const PAGE = 1_000;

/**
 * The views' table as rows of orders and pages of ages. Owns how rows are read; tells damage from absence, which a
 * table by itself does not.
 */
export class OrderTable {
  readonly #table: Table;
  readonly #damagedRows = new Set<string>();
  readonly #damagedKeys = new Set<string>();

  /** `onDamage` hears of damage in anything but the rows of orders, which say so when they are read. */
  constructor(dependencies: { readonly table: Table }, onDamage: () => void) {
    this.#table = dependencies.table;
    this.#table.onDamage((key) => {
      const orderId = orderIdOfKey(key);
      if (orderId !== undefined) this.#damagedRows.add(orderId);
      else if (!this.#damagedKeys.has(key)) {
        this.#damagedKeys.add(key);
        onDamage();
      }
    });
  }

  /** Per order its events, `damaged`, or undefined when there is no row of it. */
  async rows(
    orderIds: readonly string[],
  ): Promise<readonly (readonly RecordedEvent[] | 'damaged' | undefined)[]> {
    const rows = await this.#table.getMany(orderIds.map(orderKey));
    return orderIds.map((orderId, index) => {
      const row = rows[index];
      if (row !== undefined) return decodeJson(row) as RecordedEvent[];
      return this.#damagedRows.delete(orderId) ? 'damaged' : undefined;
    });
  }

  /** Which of them have a row, and which of those rows are damaged. */
  async look(
    orderIds: readonly string[],
  ): Promise<{ readonly there: ReadonlySet<string>; readonly damaged: readonly string[] }> {
    const rows = await this.#table.getMany(orderIds.map(orderKey));
    const damaged = orderIds.filter((id) => this.#damagedRows.delete(id));
    const there = new Set(damaged);
    for (const [index, id] of orderIds.entries()) if (rows[index] !== undefined) there.add(id);
    return { there, damaged };
  }

  /** Which of `keys` are there, intact. */
  async present(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const values = await this.#table.getMany(keys);
    return new Set(keys.filter((_, index) => values[index] !== undefined));
  }

  /** Per origin, the last journal entry contained. */
  async checkpoint(): Promise<Readonly<Record<string, number>>> {
    const row = await this.#table.get(CHECKPOINT_KEY);
    return row === undefined ? {} : (decodeJson(row) as Record<string, number>);
  }

  /** How many orders are listed in each state. */
  async counts(): Promise<ReadonlyMap<OrderState, number>> {
    const counts = new Map<OrderState, number>();
    for (const state of STATES) {
      let count = 0;
      for await (const page of this.pages(statePrefix(state), 'oldest first')) count += page.length;
      counts.set(state, count);
    }
    return counts;
  }

  /** The oldest age under `prefix` that is not before `from` (ms). */
  async oldest(prefix: string, from: number): Promise<string | undefined> {
    const range = { ...within(prefix), from: prefix + ageKey(from, ''), limit: 1 };
    return (await this.#table.range(range))[0]?.[0].slice(prefix.length);
  }

  /** The ages listed under `prefix`; `after` excludes itself and what comes before it in this direction. */
  async *ages(
    prefix: string,
    order: 'oldest first' | 'newest first',
    after?: string,
  ): AsyncGenerator<string> {
    for await (const page of this.pages(prefix, order, after)) yield* page;
  }

  async *pages(
    prefix: string,
    order: 'oldest first' | 'newest first',
    after?: string,
  ): AsyncGenerator<readonly string[]> {
    let { from, to } = within(prefix);
    if (after !== undefined && order === 'newest first') to = prefix + after;
    for (;;) {
      const rows = await this.#table.range({ from, to, limit: PAGE, reverse: order === 'newest first' });
      yield rows.map(([key]) => key.slice(prefix.length));
      const last = rows.at(-1)?.[0];
      if (last === undefined || rows.length < PAGE) return;
      if (order === 'newest first') to = last;
      else from = `${last}\0`;
    }
  }

  /** At most `limit` ages under `prefix` that are before `before` (ms), oldest first. */
  async agesBefore(prefix: string, before: number, limit: number): Promise<readonly string[]> {
    const rows = await this.#table.range({ from: prefix, to: prefix + ageKey(before, ''), limit });
    return rows.map(([key]) => key.slice(prefix.length));
  }

  async write(operations: readonly TableOperation[], applied: ReadonlyMap<string, number>): Promise<void> {
    const checkpoint = encodeJson(Object.fromEntries(applied));
    await this.#table.write([...operations, { kind: 'put', key: CHECKPOINT_KEY, value: checkpoint }]);
  }

  /** Takes out the damaged rows that nothing has replaced meanwhile: there is no order that they would list. */
  async clearDamage(): Promise<void> {
    const keys = [...this.#damagedKeys];
    const present = await this.present(keys);
    this.#damagedKeys.clear();
    const left = keys.filter((key) => !present.has(key));
    if (left.length > 0) await this.#table.write(left.map((key) => ({ kind: 'delete', key })));
  }
}
