/**
 * Every metric of the program: name, unit, meaning, labels. Alert rules and dashboards are written against this
 * file. Durations in seconds, counters end in `_total`, and a label never takes more than a few dozen values:
 * no order ids, no SKUs, no paths.
 */

export type Unit =
  'seconds' | 'bytes' | 'units' | 'orders' | 'entries' | 'operations' | 'items' | 'events' | 'none';

export interface Definition<Label extends string> {
  readonly name: string;
  readonly help: string;
  /** Counters count `events`; `none` is for states, indexes and yes (1) or no (0). */
  readonly unit: Unit;
  readonly labels: readonly Label[];
}

export interface HistogramDefinition<Label extends string> extends Definition<Label> {
  readonly buckets: readonly number[];
}

function define<const Label extends string = never>(
  name: string,
  unit: Unit,
  help: string,
  labels: readonly Label[] = [],
): Definition<Label> {
  return { name, unit, help, labels };
}

function counter<const Label extends string = never>(name: string, help: string, labels?: readonly Label[]) {
  return define(name, 'events', help, labels);
}

function distribution<const Label extends string = never>(
  name: string,
  unit: Unit,
  buckets: readonly number[],
  help: string,
  labels?: readonly Label[],
): HistogramDefinition<Label> {
  return { ...define(name, unit, help, labels), buckets };
}

/** From a function call in memory to an fsync. */
const FAST = [
  0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1, 10,
];
/** From a read in memory to a client that waits for the end of its order. */
const SLOW = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

export const HTTP = {
  requestDuration: distribution(
    'freehold_http_request_duration_seconds',
    'seconds',
    SLOW,
    'Time from the head of a request to the end of its answer, by route pattern.',
    ['method', 'route', 'status'],
  ),
  problems: counter('freehold_http_problems_total', 'Requests answered by a problem document, by its code.', [
    'code',
  ]),
  givenUp: counter(
    'freehold_http_requests_given_up_total',
    'Requests that nobody waited for any more before they were answered: their client hung up (clientGone), or their time was over (deadline).',
    ['reason'],
  ),
} as const;

export const ORDERS = {
  registered: counter(
    'freehold_orders_registered_total',
    'Registrations by verdict: won is an order this node accepted and drives.',
    ['verdict'],
  ),
  ended: counter('freehold_orders_ended_total', 'Orders this node drove to their end, by outcome.', [
    'outcome',
  ]),
  parked: counter(
    'freehold_orders_parked_total',
    'Times an order was put aside to be tried later, by code.',
    ['code'],
  ),
  forgotten: counter(
    'freehold_orders_forgotten_total',
    'Orders dropped from this node because they closed and are older than orders.retainFor.',
  ),
  takenOver: counter('freehold_orders_taken_over_total', 'Orders taken over from a home suspected dead.'),
  open: define('freehold_open_orders', 'orders', 'Orders this node is driving now.'),
  duration: distribution(
    'freehold_order_duration_seconds',
    'seconds',
    SLOW,
    'Time from registration to the end of an order, by outcome.',
    ['outcome'],
  ),
  stepDuration: distribution(
    'freehold_order_step_duration_seconds',
    'seconds',
    SLOW,
    'Time an order spends in one step, such as register, pay, hold, capture, commit.',
    ['step'],
  ),
  holdAnswers: counter(
    'freehold_hold_answers_total',
    'Answers of the ledger to holds: contention shows as OUT_OF_STOCK beside held.',
    ['answer'],
  ),
} as const;

export const RETENTION = {
  horizonAge: define(
    'freehold_retention_horizon_age_seconds',
    'seconds',
    'Age of the horizon: older orders are forgotten. Absent while none are.',
  ),
  behind: define(
    'freehold_retention_behind_seconds',
    'seconds',
    'On the leader: how far an order that does not close keeps the horizon behind where it should be. Its log names it.',
  ),
} as const;

export const JOURNAL = {
  held: define(
    'freehold_journal_held_entries',
    'entries',
    'Entries of each origin on this node’s disk, without those that were given up.',
    ['origin'],
  ),
  position: define(
    'freehold_journal_position_entries',
    'entries',
    'The last sequence of each origin that this node holds without a gap.',
    ['origin'],
  ),
  peerLag: define(
    'freehold_journal_peer_lag_entries',
    'entries',
    'Entries of this node that a peer of its zone has not acknowledged.',
    ['peer'],
  ),
  quorumAppendDuration: distribution(
    'freehold_journal_quorum_append_duration_seconds',
    'seconds',
    SLOW,
    'Time until a registration was on the disks of a majority, or was known not to be, by verdict.',
    ['verdict'],
  ),
} as const;

export const LEDGER = {
  term: define('freehold_ledger_term', 'none', 'The current term.'),
  isLeader: define('freehold_ledger_is_leader', 'none', '1 on the node that leads the ledger.'),
  hasLeader: define('freehold_ledger_has_leader', 'none', '1 while this node knows a leader.'),
  lastIndex: define('freehold_ledger_last_index', 'none', 'Index of the last entry in this log.'),
  commitIndex: define('freehold_ledger_commit_index', 'none', 'Index up to which entries are decided.'),
  appliedIndex: define(
    'freehold_ledger_applied_index',
    'none',
    'Index up to which entries are applied here.',
  ),
  memberLag: define(
    'freehold_ledger_member_lag_entries',
    'entries',
    'On the leader: entries that a member does not hold yet.',
    ['peer'],
  ),
  logEntries: define(
    'freehold_ledger_log_entries',
    'entries',
    'Entries of the log that are still kept, in memory and on disk.',
  ),
  snapshotIndex: define(
    'freehold_ledger_snapshot_index',
    'none',
    'Index up to which the newest snapshot goes; 0 without one.',
  ),
  snapshotBytes: define('freehold_ledger_snapshot_bytes', 'bytes', 'Size of the newest snapshot.'),
  leaderships: counter('freehold_ledger_leaderships_total', 'Times this node became leader.'),
} as const;

export const STOCK = {
  units: define('freehold_stock_units', 'units', 'Units over all SKUs: on_hand, available, held, sold.', [
    'kind',
  ]),
  conservationResidual: define(
    'freehold_stock_conservation_residual',
    'none',
    'Units made or lost: |onHand − available − held − sold| over all SKUs. Anything but 0 is a bug.',
  ),
  shortfall: define(
    'freehold_stock_shortfall_units',
    'units',
    'Units promised beyond what the system of record has, over all SKUs. Those SKUs do not sell.',
  ),
} as const;

export const DISK = {
  commitDuration: distribution(
    'freehold_disk_commit_duration_seconds',
    'seconds',
    FAST,
    'Time of one group commit, fsync included.',
  ),
  commitBatch: distribution(
    'freehold_disk_commit_batch_operations',
    'operations',
    COUNTS,
    'Writes that shared one group commit.',
  ),
  freeBytes: define(
    'freehold_disk_free_bytes',
    'bytes',
    'Room left on the file system of the data directory.',
  ),
  reserveBytes: define(
    'freehold_disk_reserve_bytes',
    'bytes',
    'Room below which this node takes no new orders (disk.reserve).',
  ),
} as const;

export const FUNCTIONS = {
  calls: counter('freehold_function_calls_total', 'Calls by function and code; ok is a call that decided.', [
    'function',
    'code',
  ]),
  duration: distribution(
    'freehold_function_duration_seconds',
    'seconds',
    FAST,
    'Time of a call, its queue included, by function.',
    ['function'],
  ),
  workerRestarts: counter(
    'freehold_function_worker_restarts_total',
    'Workers ended and replaced, by reason.',
    ['reason'],
  ),
} as const;

export const PAYMENTS = {
  unknownOldest: define(
    'freehold_payment_unknown_oldest_seconds',
    'seconds',
    'Age of the oldest open order whose payment was asked for and is not decided; 0 when there is none.',
  ),
  authorizedOldest: define(
    'freehold_payment_authorized_oldest_seconds',
    'seconds',
    'Age of the oldest authorization of an open order that is not captured; the provider lets it go after a week.',
  ),
  refundsFailed: define(
    'freehold_payment_refunds_failed_orders',
    'orders',
    'Open orders whose refund did not arrive; it is tried again.',
  ),
  strays: define(
    'freehold_payment_strays_items',
    'items',
    'Payments that came to an open order beside its own, and are not back yet.',
  ),
  messages: counter(
    'freehold_payment_messages_total',
    'Verified messages of the provider: kept, repeated, ignored as they change nothing, or about an unknown order.',
    ['taken'],
  ),
  calls: counter('freehold_payment_calls_total', 'Calls to the provider by operation and kind of answer.', [
    'operation',
    'answer',
  ]),
  duration: distribution(
    'freehold_payment_duration_seconds',
    'seconds',
    SLOW,
    'Time of a call to the provider, its queue included, by operation.',
    ['operation'],
  ),
  breaker: define(
    'freehold_payment_breaker_state',
    'none',
    '1 for the state the circuit breaker is in: closed, half-open or open.',
    ['state'],
  ),
} as const;

export const RECONCILERS = {
  runs: counter('freehold_reconciler_runs_total', 'Runs by reconciler and result: ok, or an error code.', [
    'reconciler',
    'result',
  ]),
  processed: counter(
    'freehold_reconciler_processed_total',
    'Products read (inbound) and outcomes delivered (outbound), by reconciler.',
    ['reconciler'],
  ),
  duration: distribution(
    'freehold_reconciler_run_duration_seconds',
    'seconds',
    SLOW,
    'Time of a run, by reconciler.',
    ['reconciler'],
  ),
  lag: define(
    'freehold_reconciler_lag_seconds',
    'seconds',
    'How far a reconciler is behind. Absent where only the leader knows.',
    ['reconciler'],
  ),
  pending: define(
    'freehold_reconciler_pending_orders',
    'orders',
    'Ended orders that the system of record does not have yet.',
    ['reconciler'],
  ),
  parked: define(
    'freehold_reconciler_parked_orders',
    'orders',
    'Orders that the system of record refused and somebody must look at; at most 100 are counted.',
    ['reconciler'],
  ),
  rejected: define(
    'freehold_reconciler_rejected_items',
    'items',
    'Rows of the catalogue that the last read left out; at most 100 are counted.',
    ['reconciler'],
  ),
} as const;

export const NODE = {
  ready: define('freehold_node_ready', 'none', '1 while this node should get requests.'),
  linkUp: define('freehold_peer_link_up', 'none', '1 while a live link to the peer exists.', ['peer']),
  queueItems: define('freehold_queue_items', 'items', 'What waits in a bounded queue.', ['queue']),
  queueCapacity: define(
    'freehold_queue_capacity_items',
    'items',
    'How much a bounded queue takes before it refuses.',
    ['queue'],
  ),
  sendQueue: define('freehold_peer_send_queue_bytes', 'bytes', 'Bytes that wait to be sent to a peer.', [
    'peer',
    'lane',
  ]),
  sourceFailures: counter(
    'freehold_metrics_source_failures_total',
    'Gauges that could not be read at a scrape, by metric.',
    ['metric'],
  ),
} as const;

/** All of them, for whoever checks rules and dashboards. */
export const DEFINITIONS: readonly Definition<string>[] = [
  ...Object.values(HTTP),
  ...Object.values(ORDERS),
  ...Object.values(RETENTION),
  ...Object.values(JOURNAL),
  ...Object.values(LEDGER),
  ...Object.values(STOCK),
  ...Object.values(DISK),
  ...Object.values(FUNCTIONS),
  ...Object.values(PAYMENTS),
  ...Object.values(RECONCILERS),
  ...Object.values(NODE),
];
