/**
 * Whom this node gave its one vote per claim. Owns the claim records; the caller owns the order of decisions and
 * writes the returned operation in the same batch as the entry.
 *
 * T1  A claim's record, once decided, is never replaced: not on disk, not while its batch is on the way.
 * T2  Decisions see all earlier decisions, also those that are not on disk yet.
 * T3  A record goes only together with the entry that holds the claim; from that decision on the claim is free.
 */
import type { Disk, Operation } from '../disk/port.ts';
import type { Vote } from './claims.ts';
import type { Position } from './port.ts';
import { claimKey, openClaim, samePosition, sealClaim, type ClaimRecord } from './records.ts';

export interface ClaimView {
  find(claim: string): ClaimRecord | undefined;
}

export class ClaimTable {
  readonly #cachedMax: number;
  readonly #disk: Disk;
  /** Decided, not known to be on disk: may not be forgotten. */
  readonly #undurable = new Map<string, ClaimRecord>();
  /** On disk; the least recently used goes first. */
  readonly #cache = new Map<string, ClaimRecord>();
  /** Dropped; the disk may still have it until that batch is written. */
  readonly #dropping = new Set<string>();

  constructor(options: { readonly cachedMax: number }, dependencies: { readonly disk: Disk }) {
    this.#cachedMax = options.cachedMax;
    this.#disk = dependencies.disk;
  }

  /** What is known without the disk; undefined may mean that the disk has to be asked. */
  peek(claim: string): ClaimRecord | undefined {
    const undurable = this.#undurable.get(claim);
    if (undurable !== undefined) return undurable;
    const cached = this.#cache.get(claim);
    if (cached === undefined) return undefined;
    this.#cache.delete(claim);
    this.#cache.set(claim, cached);
    return cached;
  }

  /**
   * One read for all claims a batch is about. The view stays true until the next `load`, provided that only its
   * holder decides meanwhile. Throws RecordError for a damaged record: the vote it held cannot be told again.
   */
  async load(claims: readonly string[]): Promise<ClaimView> {
    // Whatever was known at this moment stays in the view, even if the cache forgets it on the way: a claim that
    // looked free for a moment would get a second vote (T1).
    const known = new Map<string, ClaimRecord>();
    const unknown = new Set<string>();
    // By the time the disk answers a drop may be done, and its answer be from before.
    const dropping = new Set(this.#dropping);
    for (const claim of claims) {
      const record = this.peek(claim);
      if (record === undefined) unknown.add(claim);
      else known.set(claim, record);
    }
    if (unknown.size > 0) {
      const asked = [...unknown];
      const records = await this.#disk.getMany(asked.map(claimKey));
      asked.forEach((claim, index) => {
        const record = records[index];
        if (record !== undefined && !dropping.has(claim)) known.set(claim, openClaim(claim, record));
      });
    }
    for (const [claim, record] of known) if (unknown.has(claim)) this.#remember(claim, record);
    return { find: (claim) => known.get(claim) ?? this.#undurable.get(claim) };
  }

  /**
   * This node's vote for `position`, which is decided now if the claim was free. With an `operation`, the record
   * must be written together with the entry, and `settle` called when it is on disk.
   */
  decide(
    claim: string,
    position: Position,
    context: { readonly view: ClaimView; readonly standing: ClaimRecord['standing'] },
  ): { readonly vote: Vote; readonly operation?: Operation } {
    const held = context.view.find(claim);
    if (held !== undefined) return { vote: voteOf(held, position) };
    const record: ClaimRecord = { holder: position, standing: context.standing };
    this.#undurable.set(claim, record);
    return {
      vote: voteOf(record, position),
      operation: { kind: 'put', key: claimKey(claim), value: sealClaim(claim, record) },
    };
  }

  settle(claim: string): void {
    const record = this.#undurable.get(claim);
    if (record === undefined) return;
    this.#undurable.delete(claim);
    this.#remember(claim, record);
  }

  /** T3. The operation has to be written; `dropped` is to be called when it is on disk. */
  drop(claim: string): Operation {
    this.#cache.delete(claim);
    this.#dropping.add(claim);
    return { kind: 'delete', key: claimKey(claim) };
  }

  dropped(claim: string): void {
    this.#dropping.delete(claim);
  }

  #remember(claim: string, record: ClaimRecord): void {
    this.#cache.set(claim, record);
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= this.#cachedMax) break;
      this.#cache.delete(oldest);
    }
  }
}

function voteOf(record: ClaimRecord, position: Position): Vote {
  if (record.standing !== 'granted') return { kind: 'abstained' };
  if (samePosition(record.holder, position)) return { kind: 'granted' };
  return { kind: 'refused', holder: record.holder };
}
