import { diskMetrics } from './disk.ts';
import { functionMetrics } from './functions.ts';
import { httpMetrics } from './http.ts';
import { Instruments } from './instruments.ts';
import { journalMetrics } from './journal.ts';
import { ledgerMetrics } from './ledger.ts';
import { nodeMetrics } from './node.ts';
import { orderMetrics } from './orders.ts';
import { paymentMetrics } from './payments.ts';
import { reconcilerMetrics } from './reconcilers.ts';
import { retentionMetrics } from './retention.ts';
import type { MetricSources } from './sources.ts';
import { stockMetrics } from './stock.ts';

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * The metrics of one node. It owns a registry and what was counted; it knows no part of the program: parts are
 * handed its observers (`metrics.orders.ended`, …) as callbacks, and are read through the sources it is told to
 * watch. Observers never throw for what a part passes in good faith, and cost a few microseconds.
 */
export function createMetrics(options: { readonly self: string }) {
  let watched: Partial<MetricSources> = {};
  const sources = () => watched;
  const instruments = new Instruments({ node: options.self });
  journalMetrics(instruments, sources);
  retentionMetrics(instruments, sources);
  stockMetrics(instruments, sources);
  nodeMetrics(instruments, sources);

  return {
    contentType: instruments.contentType,
    /** Prometheus text format. */
    render: (): Promise<string> => instruments.render(),
    /** Reads gauges from these too, from the next scrape on. A source given again replaces the one before. */
    watch(more: Partial<MetricSources>): void {
      watched = { ...watched, ...more };
    },
    http: httpMetrics(instruments),
    orders: orderMetrics(instruments, sources),
    ledger: ledgerMetrics(instruments, sources),
    disk: diskMetrics(instruments, sources),
    functions: functionMetrics(instruments),
    payments: paymentMetrics(instruments, sources),
    reconcilers: reconcilerMetrics(instruments, sources),
  };
}
