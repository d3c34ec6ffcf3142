import { createHash } from 'node:crypto';

/**
 * Who drives an order whose home is gone: highest random weight (rendezvous) hashing, Thaler and Ravishankar 1998.
 * All nodes that see the same members alive name the same one; when one more dies, only its orders move.
 */
export function rendezvous(orderId: string, nodes: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestWeight = '';
  for (const node of nodes) {
    const weight = createHash('sha256').update(`${node}\0${orderId}`).digest('hex');
    if (best === undefined || weight > bestWeight || (weight === bestWeight && node < best)) {
      best = node;
      bestWeight = weight;
    }
  }
  return best;
}
