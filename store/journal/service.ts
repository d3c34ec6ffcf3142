/**
 * What this node does for the others of its zone: takes their pushes and votes on their claims, says what it holds,
 * serves pages, and says whom it holds a claim for. Owns the handlers on the network; who is not a member of the
 * zone is refused, and a frame that makes no sense is dropped and counted, so that it changes nothing.
 */
import type { Cancel, Environment, NodeId } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import type { Bases } from './bases.ts';
import type { Convergence } from './convergence.ts';
import type { Electorate } from './electorate.ts';
import type { Intake } from './intake.ts';
import type { JournalLimits } from './limits.ts';
import type { VersionVector } from './port.ts';
import type { Reader } from './reader.ts';
import { openEntry } from './records.ts';
import {
  channels,
  decodeAcknowledgement,
  decodeClaim,
  decodePull,
  decodePush,
  decodeVector,
  encodeAcknowledgement,
  encodeHolder,
  encodePage,
  encodeHeld,
  type Acknowledgement,
  type HolderAnswer,
} from './wire.ts';

export interface ServiceOptions {
  readonly limits: JournalLimits;
}

export interface ServiceDependencies {
  readonly environment: Environment;
  readonly network: Network;
  readonly electorate: Pick<Electorate, 'peers' | 'known'>;
  readonly intake: Intake;
  readonly reader: Reader;
  readonly bases: Bases;
  readonly convergence: Convergence;
  readonly vector: () => VersionVector;
  /** This disk holds all that it ever acknowledged. */
  readonly isWhole: () => boolean;
  readonly holder: (claim: string) => Promise<HolderAnswer>;
  readonly onAcknowledgement: (from: NodeId, acknowledgement: Acknowledgement) => void;
  readonly onReachability: (peer: NodeId, reachable: boolean) => void;
}

export class Service {
  readonly #limits: JournalLimits;
  readonly #dependencies: ServiceDependencies;
  readonly #subscriptions: readonly Cancel[];
  #rejectedFrames = 0;

  constructor(options: ServiceOptions, dependencies: ServiceDependencies) {
    this.#limits = options.limits;
    this.#dependencies = dependencies;
    this.#subscriptions = this.#listen();
  }

  get rejectedFrames(): number {
    return this.#rejectedFrames;
  }

  close(): void {
    for (const cancel of this.#subscriptions) cancel();
  }

  #listen(): Cancel[] {
    const { network, convergence, onAcknowledgement, onReachability } = this.#dependencies;
    return [
      network.onMessage(channels.push, (from, frame) => {
        this.#guard(from, () => {
          this.#onPush(from, frame);
        });
      }),
      network.onMessage(channels.acknowledge, (from, frame) => {
        this.#guard(from, () => {
          onAcknowledgement(from, decodeAcknowledgement(frame));
        });
      }),
      network.onAnnouncement(channels.announcements, (from, frame) => {
        // The topic spans all zones: what others announce is no mistake, and no concern of ours.
        if (!this.#isMember(from)) return;
        this.#guard(from, () => {
          convergence.onAnnouncement(from, decodeVector(frame));
        });
      }),
      network.onRequest(channels.vector, async (from) => {
        this.#admit(from);
        const { electorate, vector, isWhole } = this.#dependencies;
        return encodeHeld(electorate.known, vector(), { isWhole: isWhole() });
      }),
      network.onRequest(channels.pull, (from, frame) => this.#onPull(from, frame)),
      network.onRequest(channels.holders, async (from, frame) => {
        this.#admit(from);
        return encodeHolder(await this.#dependencies.holder(decodeClaim(frame)));
      }),
      network.onReachability(onReachability),
    ];
  }

  #onPush(from: NodeId, frame: Uint8Array): void {
    const { intake, network, electorate, vector } = this.#dependencies;
    const { round, records, base } = decodePush(frame);
    const entries = records.map(({ sequence, record }) => openEntry({ origin: from, sequence }, record));
    // Not taken for lack of room: no answer, the sender comes again.
    intake.offer({
      kind: 'received',
      origin: from,
      entries,
      ...(base === undefined ? {} : { base }),
      answer: ({ votes, gap }) => {
        const upTo = vector()[from] ?? 0;
        const acknowledgement = { round, epoch: electorate.known, upTo, gap, votes };
        network.send(from, channels.acknowledge, encodeAcknowledgement(acknowledgement), 'fast');
      },
      refuse: () => undefined,
    });
  }

  async #onPull(from: NodeId, frame: Uint8Array): Promise<Uint8Array> {
    this.#admit(from);
    const { origin, from: wanted, entriesMax } = decodePull(frame);
    const { pageEntriesMax, pageBytesMax } = this.#limits;
    const base = this.#dependencies.bases.of(origin);
    const bounds = { entriesMax: Math.min(entriesMax, pageEntriesMax), bytesMax: pageBytesMax };
    const first = Math.max(wanted, base.sequence + 1);
    const page = await this.#dependencies.reader.page(origin, first, bounds, 'stop');
    const records = page.map(({ entry, record }) => ({ sequence: entry.sequence, record }));
    return encodePage(first === wanted ? { records } : { records, base });
  }

  #isMember(id: NodeId): boolean {
    return this.#dependencies.electorate.peers.includes(id);
  }

  #admit(from: NodeId): void {
    if (!this.#isMember(from)) throw new Error(`${from} is not a member of this zone`);
  }

  #guard(from: NodeId, handle: () => void): void {
    try {
      this.#admit(from);
      handle();
    } catch (error) {
      this.#rejectedFrames++;
      this.#dependencies.environment.log.warn({ from, error: String(error) }, 'a journal frame was dropped');
    }
  }
}
