import type { Journal } from '../../store/journal/port.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import type { StoreStats } from '../../store/index.ts';
import type { Network } from '../../store/peers/port.ts';
import type { StorageState } from '../ports/storage.ts';
import type { Reconcilers } from '../ports/reconcilers.ts';
import type { RetentionStatus } from '../ports/retention.ts';

export type BreakerState = 'closed' | 'half-open' | 'open';

/** What gauges are read from at each scrape. Parts exist later than the metrics, so each is given when it does. */
export interface MetricSources {
  /** Orders this node is driving. */
  readonly openOrders: () => number;
  readonly journal: Pick<Journal, 'vector' | 'bases' | 'replication'>;
  readonly ledger: Pick<Ledger, 'status' | 'stocks' | 'conservationResidual'>;
  /** What the ledger keeps. */
  readonly ledgerKept: () => StoreStats['ledger'];
  readonly network: Pick<Network, 'peers' | 'reachable'>;
  readonly reconcilers: Pick<Reconcilers, 'status'>;
  readonly storage: StorageState;
  readonly retention: () => RetentionStatus;
  readonly paymentBreaker: () => BreakerState;
  /** The money of open orders. */
  readonly money: () => {
    readonly unknownOldestSeconds: number;
    readonly authorizedOldestSeconds: number;
    readonly refundsFailed: number;
    readonly strays: number;
  };
  readonly queues: () => readonly {
    readonly name: string;
    readonly items: number;
    readonly capacity: number;
  }[];
  /** Bytes that wait to be sent, per peer and lane. */
  readonly sendQueues: () => Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly ready: () => boolean;
}

/** The sources given so far. */
export type CurrentSources = () => Partial<MetricSources>;
