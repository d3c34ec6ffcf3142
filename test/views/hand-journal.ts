import type { OrderEvent } from '../../node/orders/events.ts';
import { encodeEvent } from '../../node/views/codec.ts';
import { JournalError, type Base, type Entry } from '../../store/journal/port.ts';

/** A journal whose entries the test hands out itself. */
export class HandJournal {
  readonly entries = new Map<string, Entry[]>();
  #listener: (entries: readonly Entry[]) => void = () => undefined;
  #horizonListener: (horizon: number) => void = () => undefined;
  #bases: Record<string, Base> = {};

  /** On the disk and told to the views. */
  keep(origin: string, ...events: readonly OrderEvent[]): Entry[] {
    const held = this.entries.get(origin) ?? [];
    this.entries.set(origin, held);
    const added = events.map((event, index) => ({
      origin,
      sequence: held.length + index + 1,
      payload: encodeEvent(event),
    }));
    held.push(...added);
    this.#listener(added);
    return added;
  }

  subscribe(listener: (entries: readonly Entry[]) => void): () => void {
    this.#listener = listener;
    return () => {
      this.#listener = () => undefined;
    };
  }

  /** Gives up what is old, as `compact` does, or a jump. */
  raise(origin: string, base: Base): void {
    this.#bases = { ...this.#bases, [origin]: base };
    this.#horizonListener(this.horizon());
  }

  async compact(request: { readonly upTo: Record<string, number>; readonly horizon: number }): Promise<void> {
    const { upTo, horizon } = request;
    for (const [origin, sequence] of Object.entries(upTo)) {
      const last = Math.min(sequence, (this.entries.get(origin)?.length ?? 0) - 1);
      if (last > (this.#bases[origin]?.sequence ?? 0)) this.raise(origin, { sequence: last, horizon });
    }
  }

  bases(): Record<string, Base> {
    return this.#bases;
  }

  horizon(): number {
    return Math.max(0, ...Object.values(this.#bases).map(({ horizon }) => horizon));
  }

  onHorizon(listener: (horizon: number) => void): () => void {
    this.#horizonListener = listener;
    return () => {
      this.#horizonListener = () => undefined;
    };
  }

  async read(origin: string, from: number, limit: number): Promise<readonly Entry[]> {
    const base = this.#bases[origin]?.sequence ?? 0;
    if (from <= base) throw new JournalError('COMPACTED', `${origin}:${from}`);
    return (this.entries.get(origin) ?? []).slice(from - 1, from - 1 + limit);
  }

  vector(): Record<string, number> {
    return Object.fromEntries([...this.entries].map(([origin, held]) => [origin, held.length]));
  }
}
