import { entryOverheadBytes, type WireRecord } from './wire.ts';

/** The newest own records, contiguous and all on disk, so that pushing them does not read them back. Bounded. */
export class RecentRecords {
  readonly #bytesMax: number;
  readonly #records = new Map<number, Uint8Array>();
  #first = 1;
  #last = 0;
  #bytes = 0;

  constructor(options: { readonly bytesMax: number }) {
    this.#bytesMax = options.bytesMax;
  }

  add(sequence: number, record: Uint8Array): void {
    if (sequence !== this.#last + 1) this.#restartAt(sequence);
    this.#records.set(sequence, record);
    this.#last = sequence;
    this.#bytes += record.byteLength;
    while (this.#bytes > this.#bytesMax && this.#first < this.#last) {
      this.#bytes -= this.#records.get(this.#first)?.byteLength ?? 0;
      this.#records.delete(this.#first++);
    }
  }

  get(sequence: number): Uint8Array | undefined {
    return this.#records.get(sequence);
  }

  /** Records from `from` on, as many as the bounds allow but at least one; undefined when `from` is not here. */
  slice(
    from: number,
    bounds: { readonly bytesMax: number; readonly entriesMax: number },
  ): readonly WireRecord[] | undefined {
    if (!this.#records.has(from)) return undefined;
    const slice: WireRecord[] = [];
    let bytes = 0;
    for (let sequence = from; sequence <= this.#last && slice.length < bounds.entriesMax; sequence++) {
      const record = this.#records.get(sequence);
      if (record === undefined) break;
      bytes += record.byteLength + entryOverheadBytes;
      if (slice.length > 0 && bytes > bounds.bytesMax) break;
      slice.push({ sequence, record });
    }
    return slice;
  }

  #restartAt(sequence: number): void {
    this.#records.clear();
    this.#first = sequence;
    this.#bytes = 0;
  }
}
