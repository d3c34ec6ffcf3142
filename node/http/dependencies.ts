import type { Environment } from '../../store/environment.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import type { Membership } from '../../store/membership/port.ts';
import type { GivenUp } from '../ports/deadline.ts';
import type { OrderService } from '../ports/order-service.ts';
import type { PaymentProvider } from '../ports/payments.ts';
import type { Drift } from '../ports/drift.ts';
import type { Reconcilers } from '../ports/reconcilers.ts';
import type { StockAdjustments } from '../ports/stock-adjustments.ts';
import type { ProblemCode } from './problems.ts';
import type { RateLimit } from './rate-limit.ts';
import type { QueueLoad } from './shedding.ts';

/** What the HTTP interface is built from. It decides nothing about orders: it checks shapes and translates. */

export interface HttpOptions {
  /** This node's name, such as `n1`. */
  readonly self: string;
  /** Larger bodies are answered 413. Default 256 KiB. */
  readonly bodyLimitBytes?: number;
  /** A request must have arrived whole within this time. Default 30 s. */
  readonly arrivalTimeoutMs?: number;
  /** How long a request may take, waiting that its client asked for not included. Default 30 s. */
  readonly requestTimeoutMs?: number;
  /** On closing, how long open connections may bring one more request. Default 1 s. */
  readonly lingerMs?: number;
  /** Without it a client may send as much as it likes. */
  readonly rateLimit?: RateLimit;
  /** Addresses and networks of proxies whose `X-Forwarded-For` is believed. Default: nobody's. */
  readonly trustProxy?: readonly string[];
}

export interface HttpDependencies {
  readonly orders: OrderService;
  readonly ledger: Pick<Ledger, 'stock' | 'stocks' | 'freshness' | 'status'>;
  readonly reconcilers: Reconcilers;
  readonly drift: Drift;
  readonly adjustments: StockAdjustments;
  readonly payments: Pick<PaymentProvider, 'verifyWebhook'>;
  readonly cluster: () => ClusterView;
  readonly membership: Pick<Membership, 'list' | 'change'>;
  readonly readiness: () => Readiness;
  /** True from the moment the node was told to stop: connections are then closed after their answer. */
  readonly draining: () => boolean;
  /** What new orders would have to wait in. */
  readonly queues: () => readonly QueueLoad[];
  readonly metrics: HttpMetrics;
  readonly environment: Pick<Environment, 'clock' | 'random' | 'log'>;
}

export interface ClusterView {
  readonly self: string;
  readonly leader?: string;
  readonly term: number;
  readonly members: readonly {
    /** The node's name. */
    readonly id: string;
    readonly peerId: string;
    readonly zone: string;
    readonly voter: boolean;
    readonly reachable: boolean;
    /** The last sequence of that node's journal held here. */
    readonly position: number;
    /** Entries of this node's journal that the member has not acknowledged. */
    readonly lag: number;
  }[];
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not, for people; empty when ready. */
  readonly reasons: readonly string[];
}

export interface HttpMetrics {
  readonly contentType: string;
  render(): Promise<string>;
  readonly http: {
    answered(request: {
      readonly method: string;
      /** The pattern, such as `/orders/:id`; `unmatched` where there is none. */
      readonly route: string;
      readonly status: number;
      readonly seconds: number;
    }): void;
    /** A request was answered by a problem document. */
    refused(code: ProblemCode): void;
    /** Nobody waited any more for a request that was not answered yet. */
    gaveUp(reason: GivenUp): void;
  };
}
