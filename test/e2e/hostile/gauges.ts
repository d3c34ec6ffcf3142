import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from '../support/cluster.ts';

/** How full the nodes are, looked at all the time while something is broken. */

export interface Gauges {
  /** `performance.now()` */
  readonly at: number;
  /** The most orders that one node drives. */
  readonly openAtOneNode: number;
  readonly open: number;
  /** Outcomes that the system of record does not have, as the node says that delivers them. */
  readonly undelivered: number;
}

const everyMs = 250;
const timeoutMs = 2_000;

export class GaugeWatch {
  readonly readings: Gauges[] = [];
  readonly #cluster: Cluster;
  #ended = false;
  readonly #watching: Promise<void>;

  constructor({ cluster }: { readonly cluster: Cluster }) {
    this.#cluster = cluster;
    this.#watching = this.#watch();
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (!this.#ended) {
      const texts = await Promise.all(
        this.#cluster.urls.map(async (url) => {
          const signal = AbortSignal.timeout(timeoutMs);
          return fetch(`${url}/metrics`, { signal }).then(
            (answer) => answer.text(),
            () => '',
          );
        }),
      );
      // Half a reading would look like relief.
      if (texts.every((text) => text !== '')) {
        const open = texts.map((text) => valueOf(text, 'freehold_open_orders'));
        this.readings.push({
          at: performance.now(),
          openAtOneNode: Math.max(...open),
          open: open.reduce((sum, count) => sum + count, 0),
          undelivered: Math.max(
            ...texts.map((text) =>
              valueOf(text, 'freehold_reconciler_pending_orders', 'reconciler="outbound"'),
            ),
          ),
        });
      }
      await delay(everyMs);
    }
  }
}

/** The sum of a metric's samples, of those alone that carry `label`. */
function valueOf(text: string, name: string, label = ''): number {
  return [...text.matchAll(new RegExp(`^${name}(\\{[^}]*\\})? (\\S+)$`, 'gm'))]
    .filter(([, labels = '']) => labels.includes(label))
    .reduce((sum, [, , value]) => sum + Number(value), 0);
}
