/**
 * What of each origin's journal is gone, as this node's disk says it. Owns the bases in memory, their records and the
 * horizon; who may raise one, and when, is the intake's.
 *
 * A *base* says: the entries of this origin up to `sequence` are gone, and none of them will be missed, for whatever
 * they were about is older than `horizon`. What that means is the caller's: the journal hands it on.
 *
 * B1  A base never goes back, nor does its horizon.
 * B2  What is told from here is on the disk.
 */
import type { Operation } from '../disk/port.ts';
import type { NodeId } from '../environment.ts';
import type { Base, Position } from './port.ts';
import { baseKey, sealBase } from './records.ts';

const whole: Base = { sequence: 0, horizon: 0 };

export class Bases {
  readonly #bases: Map<NodeId, Base>;

  constructor(options: { readonly restored: ReadonlyMap<NodeId, Base> }) {
    this.#bases = new Map(options.restored);
  }

  of(origin: NodeId): Base {
    return this.#bases.get(origin) ?? whole;
  }

  /** Whether the entry at `position` is gone. */
  covers({ origin, sequence }: Position): boolean {
    return sequence <= this.of(origin).sequence;
  }

  /** The latest of all bases; 0 while nothing is gone. */
  get horizon(): number {
    let horizon = 0;
    for (const base of this.#bases.values()) horizon = Math.max(horizon, base.horizon);
    return horizon;
  }

  entries(): readonly (readonly [NodeId, Base])[] {
    return [...this.#bases];
  }

  raise(origin: NodeId, base: Base): void {
    this.#bases.set(origin, higherOf(this.of(origin), base));
  }
}

/** The base that holds when both have been said of one origin. */
export function higherOf(one: Base, other: Base): Base {
  return {
    sequence: Math.max(one.sequence, other.sequence),
    horizon: Math.max(one.horizon, other.horizon),
  };
}

export function writeOf(origin: NodeId, base: Base): Operation {
  return { kind: 'put', key: baseKey(origin), value: sealBase(origin, base) };
}
