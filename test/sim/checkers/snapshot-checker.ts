import type { Operation } from '../../../store/disk/port.ts';
import { openRecord } from '../../../store/disk/record.ts';
import type { NodeId } from '../../../store/environment.ts';
import { decodeManifest, SnapshotDigest } from '../../../store/ledger/snapshot-manifest.ts';
import type { Violations } from '../violations.ts';

/**
 * A snapshot that counts is whole: when its manifest is durable, so are the chunks that it speaks of, and they are what
 * it says. Looks at every manifest that reaches a disk, taken there or fetched.
 */
export class SnapshotChecker {
  readonly #violations: Violations;
  readonly #diskOf: (id: NodeId) => { lookDurable(key: string): Uint8Array | undefined };
  counted = 0;

  constructor(dependencies: {
    readonly violations: Violations;
    readonly diskOf: (id: NodeId) => { lookDurable(key: string): Uint8Array | undefined };
  }) {
    this.#violations = dependencies.violations;
    this.#diskOf = dependencies.diskOf;
  }

  durable(id: NodeId, operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'put' && /^raft\/snapshot\/\d+\/manifest$/.test(operation.key)) {
        this.#check(id, operation.key, operation.value);
      }
    }
  }

  #check(id: NodeId, key: string, record: Uint8Array): void {
    const manifest = decodeManifest(openRecord(key, record));
    if (manifest === undefined) return;
    this.counted += 1;
    const root = key.slice(0, key.lastIndexOf('/'));
    const disk = this.#diskOf(id);
    const digest = new SnapshotDigest();
    for (let number = 0; number < manifest.chunks; number += 1) {
      const chunkKey = `${root}/chunk/${String(number).padStart(16, '0')}`;
      const chunk = disk.lookDurable(chunkKey);
      if (chunk === undefined) {
        this.#violations.report('whole snapshot', `${id} counts on ${root} without ${chunkKey}`);
        return;
      }
      try {
        digest.add(openRecord(chunkKey, chunk));
      } catch {
        // A bit was flipped since it was written.
        return;
      }
    }
    if (digest.end().digest === manifest.digest) return;
    this.#violations.report('whole snapshot', `${id} counts on ${root}, which is not what its manifest says`);
  }
}
