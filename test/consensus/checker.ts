import type { Entry, NodeId, Place, Restored } from '../../store/consensus/index.ts';

/**
 * The promises of Raft, as a judge outside of all nodes who forgets nothing: election safety, log matching, leader
 * completeness, state machine safety, decided means on a majority of disks. It throws at the first breach.
 */
export class Checker {
  /** What was decided, by index; the first node to know it says it. */
  readonly decided: Entry[] = [];
  /** Elections won, by term. */
  readonly leaders = new Map<number, NodeId>();
  /** By index, the term of the first node to know the decision. */
  readonly #decidedIn: number[] = [];
  /** By index, the state of a machine that has applied all up to there. */
  readonly #states: number[] = [emptyState];
  /** (index, term) names one entry and everything before it. */
  readonly #known = new Map<string, string>();
  /** Per entry, who ever had it on disk. */
  readonly #holders = new Map<string, Set<NodeId>>();

  /** A node takes `entry` into its log, after an entry of `previousTerm`: log matching (C13). */
  learned(entry: Entry, previousTerm: number): void {
    const content = `${entry.kind} ${text(entry)} after ${previousTerm}`;
    const name = nameOf(entry);
    const known = this.#known.get(name);
    if (known !== undefined && known !== content) throw new Error(`${name} is both ${known} and ${content}`);
    this.#known.set(name, content);
  }

  stored(node: NodeId, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const holders = this.#holders.get(nameOf(entry)) ?? new Set();
      this.#holders.set(nameOf(entry), holders.add(node));
    }
  }

  /** A node applies `entry`, in `term` and with these voters in force: state machine safety (C14). */
  applied(
    node: NodeId,
    entry: Entry,
    at: { readonly term: number; readonly voters: readonly NodeId[] },
  ): void {
    const decided = this.decided[entry.index - 1];
    if (decided === undefined) {
      if (this.decided.length !== entry.index - 1) throw new Error('decided with a gap');
      const holders = this.#holders.get(nameOf(entry)) ?? new Set();
      const count = at.voters.filter((voter) => holders.has(voter)).length;
      if (count * 2 <= at.voters.length) throw new Error(`${entry.index} is decided on ${count} disks`);
      this.decided.push(entry);
      this.#decidedIn.push(at.term);
      this.#states.push(nextState(this.#states.at(-1) ?? emptyState, entry));
    } else if (decided.term !== entry.term || text(decided) !== text(entry)) {
      throw new Error(`${node} applies another entry at ${entry.index}`);
    }
  }

  /** Whoever has applied everything up to `index`, by entries or by a snapshot, is in the same state. */
  isInState(node: NodeId, index: number, state: number): void {
    if (this.#states[index] !== state) throw new Error(`${node} is in another state at ${index}`);
  }

  /** A node has begun to lead `term` with this log: election safety (C1), leader completeness (C5). */
  leads(node: NodeId, term: number, log: Restored): void {
    const other = this.leaders.get(term);
    if (other !== undefined && other !== node) throw new Error(`${other} and ${node} lead term ${term}`);
    this.leaders.set(term, node);
    for (const entry of this.decided) {
      // Who was stopped may count votes of a term that is over: it then leads nobody, and need not know what was
      // decided since.
      if ((this.#decidedIn[entry.index - 1] ?? 0) >= term || entry.index < log.base.index) continue;
      if (termIn(log, entry.index) !== entry.term) {
        throw new Error(`${node} leads term ${term} without decided entry ${entry.index}`);
      }
    }
  }

  /** A read under the lease sees every decision that anyone knows of (C6). */
  reads(node: NodeId, appliedIndex: number): void {
    if (appliedIndex < this.decided.length) {
      throw new Error(`${node} reads at ${appliedIndex}, decided is ${this.decided.length}`);
    }
  }
}

/** The model of a state machine: a number that depends on every entry applied, and on their order. */
export const emptyState = 7;

export function nextState(state: number, entry: Entry): number {
  let next = Math.imul(state, 31) + entry.term;
  for (const byte of entry.data) next = Math.imul(next, 31) + byte;
  return next | 0;
}

export function termIn(log: Restored, index: number): number | undefined {
  if (index === log.base.index) return log.base.term;
  return log.entries[index - log.base.index - 1]?.term;
}

function nameOf({ index, term }: Place): string {
  return `${index}@${term}`;
}

function text(entry: Entry): string {
  return new TextDecoder().decode(entry.data);
}
