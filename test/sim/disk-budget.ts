import { openRecord } from '../../store/disk/record.ts';
import type { NodeId } from '../../store/environment.ts';
import { unpack } from '../../store/ledger/msgpack.ts';
import type { SimNode } from './node.ts';

/**
 * Whose disk may be lost next: a minority at a time, and another one only after the last is whole again. A cluster that
 * is still being formed may lose none, for its voters remember nothing yet (C12 of the consensus core).
 */
export class DiskBudget {
  readonly #nodes: ReadonlyMap<NodeId, SimNode>;
  readonly #emptied = new Set<NodeId>();
  #isFormed = false;

  constructor(dependencies: { readonly nodes: ReadonlyMap<NodeId, SimNode> }) {
    this.#nodes = dependencies.nodes;
  }

  mayLose(node: SimNode): boolean {
    const all = [...this.#nodes.values()];
    this.#isFormed ||= all.every(
      (one) => remembers(one) && one.life?.store?.stats().journal.phase === 'open',
    );
    if (!this.#isFormed) return false;
    const minority = Math.floor((all.length - 1) / 2);
    const lost = all.filter((one) => one === node || !this.#isWhole(one));
    return lost.length <= minority;
  }

  wiped(node: SimNode): void {
    node.isDamaged = false;
    this.#emptied.add(node.id);
  }

  damaged(node: SimNode): void {
    node.isDamaged = true;
  }

  #isWhole(node: SimNode): boolean {
    if (node.isDamaged) {
      if (!everyRecordIsIntact(node)) return false;
      node.isDamaged = false;
    }
    if (!this.#emptied.has(node.id)) return true;
    if (!remembers(node) || node.life?.store?.stats().journal.phase !== 'open') return false;
    this.#emptied.delete(node.id);
    return true;
  }
}

/** Its disk says that it is a full voter. */
function remembers({ disk }: SimNode): boolean {
  const record = disk.lookDurable('raft/state');
  if (record === undefined) return false;
  try {
    const [, , , recovering] = unpack(openRecord('raft/state', record)) as unknown[];
    return recovering === false;
  } catch {
    return false;
  }
}

function everyRecordIsIntact({ disk }: SimNode): boolean {
  return ['journal/', 'raft/'].every((prefix) =>
    disk.keys(prefix).every((key) => {
      try {
        openRecord(key, disk.look(key) ?? new Uint8Array());
        return true;
      } catch {
        return false;
      }
    }),
  );
}
