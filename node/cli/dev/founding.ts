import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan } from './plan.ts';

/**
 * Whether the local cluster has been founded: a file beside the nodes' directories, which outlives what is on their
 * disks. Its nodes are told to found a cluster until it stands once, and never again: one whose disk is emptied has to
 * be taken in by the others, as on machines of their own.
 */

export function isFounded(plan: Plan): boolean {
  return existsSync(markOf(plan));
}

/** To be called once all nodes are ready. */
export function noteFounded(plan: Plan): void {
  writeFileSync(markOf(plan), '');
}

function markOf({ dataDirectory }: Plan): string {
  return join(dataDirectory, 'founded');
}
