import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Whether the local cluster has been founded: a file beside the nodes' directories, which outlives what is on their
 * disks. Its nodes are told to found a cluster until it stands once, and never again: one whose disk is emptied has to
 * be taken in by the others, as on machines of their own.
 */

interface Place {
  readonly dataDirectory: string;
}

export function isFounded(place: Place): boolean {
  return existsSync(markOf(place));
}

/** To be called once all nodes are ready. */
export function noteFounded(place: Place): void {
  writeFileSync(markOf(place), '');
}

function markOf({ dataDirectory }: Place): string {
  return join(dataDirectory, 'founded');
}
