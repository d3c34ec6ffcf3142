import { setTimeout as delay } from 'node:timers/promises';
import type { TestProduct } from '../support/catalog.ts';
import type { Cluster } from '../support/cluster.ts';
import type { History } from '../support/history.ts';
import { readBooks } from './books.ts';
import type { Books } from './books.ts';
import { checks, findingsOf } from './checks.ts';
import type { Finding } from './checks.ts';
import { readDrift } from './drift.ts';

/** Waits until all books agree, and says how long that took; or what they still disagree about when the time is over. */
export interface Settled {
  readonly books: Books;
  readonly findings: readonly Finding[];
  readonly afterMs: number;
}

const restMsMin = 1_000;

export async function settle(
  options: { readonly withinMs: number; readonly products: readonly TestProduct[] },
  { cluster, history, log }: { cluster: Cluster; history: History; log: (line: string) => void },
): Promise<Settled> {
  const begun = performance.now();
  for (;;) {
    const looking = performance.now();
    const books = await readBooks(cluster);
    const final = findingsOf(checks.final, history, books, options.products);
    const left = final.filter(({ breaches }) => breaches.length > 0);
    const afterMs = looking - begun;
    if (left.length === 0 || afterMs > options.withinMs) {
      const lasting = findingsOf(checks.lasting, history, books, options.products);
      const drift = { check: 'no difference in the drift report', breaches: await readDrift(cluster) };
      return { books, findings: [...final, ...lasting, drift], afterMs };
    }
    log(
      `not settled: ${left.map(({ check, breaches }) => `${check} ${String(breaches.length)}`).join(', ')}`,
    );
    // Reading all the books of a large shop is work for it as well.
    await delay(Math.max(restMsMin, performance.now() - looking));
  }
}
