/**
 * Reads entries back, verified. Owns what happens to one that is damaged or missing: it is fetched from a peer and
 * rewritten; a damaged record is never served, nor skipped.
 *
 * S1  What is returned is contiguous from the asked sequence on, and every record passed its checksum.
 * S2  Only when every other member has answered and none has the entry is it lost: that is fatal. While some
 *     cannot be asked, reading fails with UNAVAILABLE and may be tried again.
 * S3  What lies below a base is neither damaged nor lost: it is gone, and reading it fails with COMPACTED. That holds
 *     for a peer's base too: the entry it was asked for then has nobody to come from, and nobody who needs it (J13).
 */
import type { Committer, Disk } from '../disk/port.ts';
import { RecordError } from '../disk/record.ts';
import type { Environment, NodeId } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import type { Bases } from './bases.ts';
import type { Electorate } from './electorate.ts';
import { WireError } from './bytes.ts';
import { JournalError, type Base, type Position } from './port.ts';
import { entryKey, entryRange, openEntry, type SealedEntry } from './records.ts';
import { channels, decodePage, encodePull, entryOverheadBytes } from './wire.ts';

export interface ReaderOptions {
  readonly requestTimeoutMs: number;
}

export interface ReaderDependencies {
  readonly environment: Environment;
  readonly disk: Disk;
  readonly committer: Committer;
  readonly network: Network;
  readonly electorate: Pick<Electorate, 'peers'>;
  readonly bases: Bases;
  /** A peer asked for an entry has a base above it. Resolves when this node has taken it over. */
  readonly onBase: (origin: NodeId, base: Base) => Promise<void>;
  /** Last sequence of an origin on this disk. */
  readonly durable: (origin: NodeId) => number;
}

/** What to do about a damaged entry on the way: wait for its repair, or end the page before it. */
export type OnDamage = 'repair' | 'stop';

export interface PageBounds {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

const rowsMax = 1_000;

export class Reader {
  readonly #options: ReaderOptions;
  readonly #dependencies: ReaderDependencies;
  readonly #repairs = new Map<string, Promise<SealedEntry>>();
  #repaired = 0;

  constructor(options: ReaderOptions, dependencies: ReaderDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Entries fetched again from a peer because the own copy was damaged. */
  get repaired(): number {
    return this.#repaired;
  }

  /**
   * Entries from `from` on: at least one if there is one, then as many as the bounds allow. With `stop`, a page
   * for a peer, a damaged entry ends it and is repaired meanwhile: two members waiting for each other's repair
   * would wait for ever. Rejects with JournalError UNAVAILABLE, or COMPACTED when `from` lies below the base.
   */
  async page(
    origin: NodeId,
    from: number,
    bounds: PageBounds,
    onDamage: OnDamage = 'repair',
  ): Promise<readonly SealedEntry[]> {
    const last = Math.min(
      this.#dependencies.durable(origin),
      from + Math.min(bounds.entriesMax, rowsMax) - 1,
    );
    if (from < 1) return [];
    this.#checkBase({ origin, sequence: from });
    if (last < from) return [];
    const rows = await this.#dependencies.disk.range({
      from: entryKey(origin, from),
      to: last === Number.MAX_SAFE_INTEGER ? entryRange(origin).to : entryKey(origin, last + 1),
      limit: last - from + 1,
    });
    // It may have risen meanwhile, and the rows be deleted.
    this.#checkBase({ origin, sequence: from });
    const records = new Map(rows);
    const page: SealedEntry[] = [];
    let bytes = 0;
    for (let sequence = from; sequence <= last; sequence++) {
      const position = { origin, sequence };
      const record = records.get(entryKey(origin, sequence));
      let sealed = record && openIntact(position, record);
      if (sealed === undefined && onDamage === 'stop') {
        this.repair(position).catch(() => undefined);
        break;
      }
      sealed ??= await this.repair(position);
      bytes += sealed.record.byteLength + entryOverheadBytes;
      if (page.length > 0 && bytes > bounds.bytesMax) break;
      page.push(sealed);
    }
    return page;
  }

  /** Fetches an entry from a peer and rewrites it. Rejects with JournalError UNAVAILABLE or COMPACTED. */
  repair(position: Position): Promise<SealedEntry> {
    const key = entryKey(position.origin, position.sequence);
    const underWay = this.#repairs.get(key);
    if (underWay !== undefined) return underWay;
    const repair = this.#repair(position).finally(() => this.#repairs.delete(key));
    this.#repairs.set(key, repair);
    return repair;
  }

  async #repair(position: Position): Promise<SealedEntry> {
    const { environment, committer, electorate } = this.#dependencies;
    const { peers } = electorate;
    const name = `${position.origin}:${position.sequence}`;
    environment.log.error({ entry: name }, 'a journal entry is damaged: fetching it from a peer');
    let answered = 0;
    for (const peer of peers) {
      const answer = await this.#fetch(peer, position);
      this.#checkBase(position);
      if (answer === 'silent') continue;
      answered++;
      if (answer === 'absent') continue;
      await committer.commit([
        { kind: 'put', key: entryKey(position.origin, position.sequence), value: answer.record },
      ]);
      this.#repaired++;
      environment.log.warn({ entry: name, peer }, 'the journal entry was fetched and rewritten');
      return answer;
    }
    if (answered === peers.length) {
      const lost = new Error(`journal entry ${name} is damaged on this disk and no other member has it`);
      environment.fatal(lost);
      throw lost;
    }
    throw new JournalError('UNAVAILABLE', `entry ${name} is damaged and not all members can be asked for it`);
  }

  async #fetch(peer: NodeId, position: Position): Promise<SealedEntry | 'absent' | 'silent'> {
    const { origin, sequence } = position;
    try {
      const answer = await this.#dependencies.network.request(
        peer,
        channels.pull,
        encodePull({ origin, from: sequence, entriesMax: 1 }),
        { timeoutMs: this.#options.requestTimeoutMs, lane: 'bulk' },
      );
      const { records, base } = decodePage(answer);
      if (base !== undefined && base.sequence >= sequence) {
        await this.#dependencies.onBase(origin, base);
        return 'silent';
      }
      const found = records.find((one) => one.sequence === sequence);
      return found === undefined ? 'absent' : openEntry(position, found.record);
    } catch (error) {
      this.#dependencies.environment.log.debug({ peer, error: String(error) }, 'no entry from this peer');
      return 'silent';
    }
  }

  #checkBase({ origin, sequence }: Position): void {
    const { bases } = this.#dependencies;
    if (!bases.covers({ origin, sequence })) return;
    const base = bases.of(origin);
    throw new JournalError('COMPACTED', `${origin}:${sequence} is gone, like all up to ${base.sequence}`);
  }
}

function openIntact(position: Position, record: Uint8Array): SealedEntry | undefined {
  try {
    return openEntry(position, record);
  } catch (error) {
    // A record from a newer program is intact: neither served nor overwritten.
    const damaged =
      error instanceof WireError || (error instanceof RecordError && error.code === 'CORRUPT_RECORD');
    if (damaged) return undefined;
    throw error;
  }
}
