import { crc32 } from 'node:zlib';
import type { AssembledStore } from '../../../store/assemble.ts';
import type { Operation } from '../../../store/disk/port.ts';
import type { NodeId } from '../../../store/environment.ts';
import type { Violations } from '../violations.ts';

/**
 * The promises of the journal: a position names one entry for ever (J2), what was acknowledged by a majority is on a
 * majority of disks when the caller hears so (J3, S1), and at most one registration of a claim is told `won` (J5).
 * Owns what is known to lie on which disk.
 */
interface Known {
  readonly digest: number;
  /** Whose disk has it now, and whose ever had. */
  readonly holders: Set<NodeId>;
  readonly everHeldBy: Set<NodeId>;
}

type Journal = AssembledStore['journal'];

export const entryPrefix = 'journal/entry/';

export class JournalChecker {
  readonly #voters: number;
  readonly #violations: Violations;
  /** By key of the entry. */
  readonly #known = new Map<string, Known>();
  /** Per claim, who was told that it won. */
  readonly #winners = new Map<string, string>();
  readonly #split = new Set<string>();
  quorums = 0;

  constructor(
    options: { readonly members: readonly NodeId[] },
    dependencies: { readonly violations: Violations },
  ) {
    this.#voters = options.members.length;
    this.#violations = dependencies.violations;
  }

  durable(id: NodeId, operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'delete' || !operation.key.startsWith(entryPrefix)) continue;
      const digest = crc32(operation.value);
      const known = this.#known.get(operation.key);
      if (known === undefined) {
        this.#known.set(operation.key, { digest, holders: new Set([id]), everHeldBy: new Set([id]) });
        continue;
      }
      if (known.digest !== digest) {
        this.#violations.report('journal position', `${id} has another entry at ${operation.key}`);
      }
      known.holders.add(id);
      known.everHeldBy.add(id);
    }
  }

  /** A disk is empty now: a position that lay on no other one may be given out again. */
  wiped(id: NodeId): void {
    for (const [key, { holders }] of this.#known) {
      if (holders.delete(id) && holders.size === 0) this.#known.delete(key);
    }
  }

  /** The journal as the order flow gets it: what is promised is held against the disks. */
  between(node: NodeId, journal: Journal): Journal {
    const register: Journal['register'] = async (claim, payload, options) => {
      const result = await journal.register(claim, payload, options);
      if (result.verdict.kind === 'won' && result.position !== undefined) {
        this.#won(claim, `${result.position.origin}:${result.position.sequence}`);
        this.#checkQuorum(node, result.position.sequence);
      }
      if (result.verdict.kind === 'split') this.#wasSplit(claim);
      return result;
    };
    const append: Journal['append'] = (payload, options) => {
      const appended = journal.append(payload, options);
      if (options.durability === 'quorum') {
        appended.durable.then(
          () => {
            this.#checkQuorum(node, appended.position.sequence);
          },
          () => undefined,
        );
      }
      return appended;
    };
    const overrides: Partial<Journal> = { register, append };
    // The journal keeps its state in private fields: its methods have to be called on itself.
    return new Proxy(journal, {
      get: (target, name) => {
        const own: unknown = Reflect.get(overrides, name) ?? Reflect.get(target, name);
        return typeof own === 'function' ? (own.bind(target) as unknown) : own;
      },
    });
  }

  #won(claim: string, position: string): void {
    const other = this.#winners.get(claim);
    if (other !== undefined && other !== position) {
      this.#violations.report('one claim', `both ${other} and ${position} won ${claim}`);
    }
    if (this.#split.has(claim))
      this.#violations.report('one claim', `${position} won ${claim}, which is split`);
    this.#winners.set(claim, position);
  }

  #wasSplit(claim: string): void {
    this.#split.add(claim);
    const winner = this.#winners.get(claim);
    if (winner !== undefined) {
      this.#violations.report('one claim', `${claim} is called split, and ${winner} won it`);
    }
  }

  #checkQuorum(node: NodeId, sequence: number): void {
    this.quorums += 1;
    const key = `${entryPrefix}${node}/${String(sequence).padStart(16, '0')}`;
    const holders = this.#known.get(key)?.everHeldBy.size ?? 0;
    if (holders * 2 > this.#voters) return;
    this.#violations.report(
      'journal quorum',
      `${node}:${sequence} was acknowledged for a majority, and is on ${holders} of ${this.#voters} disks`,
    );
  }
}
