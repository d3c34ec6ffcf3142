import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../node/metrics/index.ts';
import { DEFINITIONS } from '../../node/metrics/names.ts';
import type { MetricSources } from '../../node/metrics/sources.ts';
import type { LedgerStatus, StockLevel } from '../../store/ledger/port.ts';
import { parseTextFormat } from './text-format.ts';

const scrape = async (metrics: ReturnType<typeof createMetrics>) => parseTextFormat(await metrics.render());

describe('names', () => {
  it('are unique, and all registered', async () => {
    const names = DEFINITIONS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const { types } = await scrape(createMetrics({ self: 'n1' }));
    expect([...types.keys()].filter((name) => name.startsWith('freehold_')).toSorted()).toEqual(
      names.toSorted(),
    );
  });

  it('carry help and end in their unit', async () => {
    const { types, help } = await scrape(createMetrics({ self: 'n1' }));
    for (const { name, unit } of DEFINITIONS) {
      expect(name).toMatch(/^freehold_[a-z_]+$/);
      expect(help.get(name), name).toMatch(/\.$/);
      const type = types.get(name);
      if (type === 'counter') expect([name, unit]).toEqual([expect.stringMatching(/_total$/), 'events']);
      else {
        expect(name).not.toMatch(/_(total|count|sum|bucket|info)$/);
        expect(name).not.toMatch(/_(ms|milliseconds|minutes|kilobytes)(_|$)/);
        if (unit !== 'none') expect(name).toMatch(new RegExp(`_${unit}$`));
      }
      if (type === 'histogram') expect(unit, name).not.toBe('none');
    }
  });

  it('have only labels of few values', () => {
    const labels = new Set(DEFINITIONS.flatMap((definition) => definition.labels));
    expect([...labels].toSorted()).toEqual([
      'answer',
      'code',
      'function',
      'kind',
      'lane',
      'method',
      'metric',
      'operation',
      'origin',
      'outcome',
      'peer',
      'queue',
      'reason',
      'reconciler',
      'result',
      'route',
      'state',
      'status',
      'step',
      'taken',
      'verdict',
    ]);
  });
});

describe('observers', () => {
  it('move their values', async () => {
    const metrics = createMetrics({ self: 'n1' });
    metrics.http.answered({ method: 'POST', route: '/orders', status: 201, seconds: 0.02 });
    metrics.http.refused('OVERLOADED');
    metrics.http.gaveUp('clientGone');
    metrics.orders.registered('won', 0.002);
    metrics.orders.ended('refunded', 0.5);
    metrics.orders.parked('FUNCTION_TRAP');
    metrics.orders.takenOver();
    metrics.orders.step('pay', 0.1);
    metrics.orders.held('held');
    metrics.orders.held('OUT_OF_STOCK');
    metrics.ledger.leadership(true);
    metrics.ledger.leadership(false);
    metrics.disk.fsync(0.000_3, 17);
    metrics.functions.called('payment', 0.000_1, 'ok');
    metrics.functions.called('payment', 1, 'FUNCTION_TIMEOUT');
    metrics.functions.workerRestarted('FUNCTION_TIMEOUT');
    metrics.payments.called('pay', 'unknown', 2);
    metrics.reconcilers.ran({ name: 'outbound', seconds: 0.2, processed: 12 });
    metrics.reconcilers.failed({ name: 'outbound', seconds: 0.1, code: 'NOT_LEADER' });

    const after = await scrape(metrics);
    const counts: readonly (readonly [string, Record<string, string>, number])[] = [
      [
        'freehold_http_request_duration_seconds_count',
        { method: 'POST', route: '/orders', status: '201', node: 'n1' },
        1,
      ],
      ['freehold_http_problems_total', { code: 'OVERLOADED' }, 1],
      ['freehold_http_requests_given_up_total', { reason: 'clientGone' }, 1],
      ['freehold_orders_registered_total', { verdict: 'won' }, 1],
      ['freehold_orders_ended_total', { outcome: 'refunded' }, 1],
      ['freehold_orders_ended_total', { outcome: 'fulfilled' }, 0],
      ['freehold_order_duration_seconds_sum', { outcome: 'refunded' }, 0.5],
      ['freehold_orders_parked_total', { code: 'FUNCTION_TRAP' }, 1],
      ['freehold_orders_taken_over_total', {}, 1],
      ['freehold_order_step_duration_seconds_sum', { step: 'pay' }, 0.1],
      ['freehold_hold_answers_total', { answer: 'held' }, 1],
      ['freehold_hold_answers_total', { answer: 'OUT_OF_STOCK' }, 1],
      ['freehold_journal_quorum_append_duration_seconds_sum', { verdict: 'won' }, 0.002],
      ['freehold_ledger_leaderships_total', {}, 1],
      ['freehold_disk_commit_batch_operations_bucket', { le: '20' }, 1],
      ['freehold_disk_commit_batch_operations_bucket', { le: '10' }, 0],
      ['freehold_disk_commit_duration_seconds_sum', {}, 0.000_3],
      ['freehold_function_calls_total', { function: 'payment', code: 'FUNCTION_TIMEOUT' }, 1],
      ['freehold_function_duration_seconds_count', { function: 'payment' }, 2],
      ['freehold_function_worker_restarts_total', { reason: 'FUNCTION_TIMEOUT' }, 1],
      ['freehold_payment_calls_total', { operation: 'pay', answer: 'unknown' }, 1],
      ['freehold_payment_duration_seconds_sum', { operation: 'pay' }, 2],
      ['freehold_reconciler_runs_total', { reconciler: 'outbound', result: 'ok' }, 1],
      ['freehold_reconciler_runs_total', { reconciler: 'outbound', result: 'NOT_LEADER' }, 1],
      ['freehold_reconciler_processed_total', { reconciler: 'outbound' }, 12],
      ['freehold_reconciler_run_duration_seconds_count', { reconciler: 'outbound' }, 2],
    ];
    for (const [name, labels, value] of counts) expect(after.value(name, labels), name).toBe(value);
  });

  it('of two nodes in one process do not meet', async () => {
    const [one, other] = [createMetrics({ self: 'n1' }), createMetrics({ self: 'n2' })];
    one.orders.takenOver();
    expect((await scrape(one)).value('freehold_orders_taken_over_total', { node: 'n1' })).toBe(1);
    expect((await scrape(other)).value('freehold_orders_taken_over_total', { node: 'n2' })).toBe(0);
  });
});

const status: LedgerStatus = {
  role: 'leader',
  leader: 'n1',
  term: 7,
  lastIndex: 50,
  commitIndex: 49,
  appliedIndex: 48,
  match: { n1: 50, n2: 45, n3: 20 },
};
const level = (available: number, onHand: number): StockLevel => ({
  sku: `S${available}`,
  name: 'x',
  unitPrice: 1,
  currency: 'EUR',
  onHand,
  held: 2,
  sold: onHand - available - 2,
  available,
});

const sources = (over: Partial<MetricSources> = {}): MetricSources => ({
  openOrders: () => 4,
  journal: {
    vector: () => ({ n1: 12, n2: 9 }),
    bases: () => ({ n2: { sequence: 4, horizon: 1 } }),
    replication: () => [{ peer: 'n2', acknowledged: 10, lag: 2 }],
  },
  ledger: {
    status: () => status,
    stocks: () => [level(5, 10), level(-3, 1)],
    conservationResidual: () => 0,
  },
  ledgerKept: () => ({ logEntries: 12, snapshotIndex: 40, snapshotBytes: 9_000 }),
  network: { peers: ['n2', 'n3'], reachable: (peer) => peer === 'n2' },
  reconcilers: {
    status: () => [
      {
        name: 'outbound',
        running: false,
        lagSeconds: 1.5,
        pending: 3,
        parked: [{ orderId: 'o', code: 'R', reason: 'R: r', at: 1 }],
        rejected: [{ sku: 's', reason: 'SKU_TOO_LONG: s' }],
      },
    ],
  },
  storage: { freeBytes: 700, reserveBytes: 500, isLow: false },
  retention: () => ({ horizon: 1, ageMs: 5_000, behindMs: 2_000 }),
  paymentBreaker: () => 'open',
  money: () => ({ unknownOldestSeconds: 61, authorizedOldestSeconds: 90, refundsFailed: 2, strays: 1 }),
  queues: () => [{ name: 'payments', items: 7, capacity: 100 }],
  sendQueues: () => ({ n2: { fast: 300, bulk: 0 } }),
  ready: () => true,
  ...over,
});

describe('gauges', () => {
  it('are read at each scrape', async () => {
    const metrics = createMetrics({ self: 'n1' });
    let open = 4;
    metrics.watch(sources({ openOrders: () => open }));
    const first = await scrape(metrics);
    const gauges: readonly (readonly [string, Record<string, string>, number])[] = [
      ['freehold_open_orders', {}, 4],
      ['freehold_disk_free_bytes', {}, 700],
      ['freehold_disk_reserve_bytes', {}, 500],
      ['freehold_journal_position_entries', { origin: 'n2' }, 9],
      ['freehold_journal_held_entries', { origin: 'n1' }, 12],
      ['freehold_journal_held_entries', { origin: 'n2' }, 5],
      ['freehold_retention_horizon_age_seconds', {}, 5],
      ['freehold_retention_behind_seconds', {}, 2],
      ['freehold_journal_peer_lag_entries', { peer: 'n2' }, 2],
      ['freehold_ledger_term', {}, 7],
      ['freehold_ledger_is_leader', {}, 1],
      ['freehold_ledger_has_leader', {}, 1],
      ['freehold_ledger_last_index', {}, 50],
      ['freehold_ledger_commit_index', {}, 49],
      ['freehold_ledger_applied_index', {}, 48],
      ['freehold_ledger_log_entries', {}, 12],
      ['freehold_ledger_snapshot_index', {}, 40],
      ['freehold_ledger_snapshot_bytes', {}, 9_000],
      ['freehold_ledger_member_lag_entries', { peer: 'n3' }, 30],
      ['freehold_payment_unknown_oldest_seconds', {}, 61],
      ['freehold_payment_authorized_oldest_seconds', {}, 90],
      ['freehold_payment_refunds_failed_orders', {}, 2],
      ['freehold_payment_strays_items', {}, 1],
      ['freehold_stock_units', { kind: 'on_hand' }, 11],
      ['freehold_stock_units', { kind: 'available' }, 2],
      ['freehold_stock_units', { kind: 'held' }, 4],
      ['freehold_stock_units', { kind: 'sold' }, 5],
      ['freehold_stock_conservation_residual', {}, 0],
      ['freehold_stock_shortfall_units', {}, 3],
      ['freehold_peer_link_up', { peer: 'n2' }, 1],
      ['freehold_peer_link_up', { peer: 'n3' }, 0],
      ['freehold_reconciler_lag_seconds', { reconciler: 'outbound' }, 1.5],
      ['freehold_reconciler_pending_orders', { reconciler: 'outbound' }, 3],
      ['freehold_reconciler_parked_orders', { reconciler: 'outbound' }, 1],
      ['freehold_reconciler_rejected_items', { reconciler: 'outbound' }, 1],
      ['freehold_payment_breaker_state', { state: 'open' }, 1],
      ['freehold_payment_breaker_state', { state: 'closed' }, 0],
      ['freehold_queue_items', { queue: 'payments' }, 7],
      ['freehold_queue_capacity_items', { queue: 'payments' }, 100],
      ['freehold_peer_send_queue_bytes', { peer: 'n2', lane: 'fast' }, 300],
      ['freehold_node_ready', {}, 1],
    ];
    for (const [name, labels, value] of gauges) expect(first.value(name, labels), name).toBe(value);

    open = 9;
    expect((await scrape(metrics)).value('freehold_open_orders')).toBe(9);
  });

  it('have no value, rather than 0, before their source exists', async () => {
    const { samples } = await scrape(createMetrics({ self: 'n1' }));
    const gauges = samples.filter(({ name }) =>
      ['freehold_stock_conservation_residual', 'freehold_ledger_has_leader', 'freehold_node_ready'].includes(
        name,
      ),
    );
    expect(gauges).toEqual([]);
  });

  it('forget labels that are gone', async () => {
    const metrics = createMetrics({ self: 'n1' });
    metrics.watch(sources());
    await scrape(metrics);
    metrics.watch({ ledger: { ...sources().ledger, status: () => ({ ...status, role: 'follower' }) } });
    const after = await scrape(metrics);
    expect(after.value('freehold_ledger_member_lag_entries', { peer: 'n3' })).toBeUndefined();
    expect(after.value('freehold_ledger_is_leader')).toBe(0);
  });

  it('of a failing source are missing and counted; the others are served', async () => {
    const metrics = createMetrics({ self: 'n1' });
    metrics.watch(sources());
    await scrape(metrics);
    metrics.watch({
      ready: () => {
        throw new Error('gone');
      },
    });
    // The count is rendered before or after the gauge fails: the second scrape has it for certain.
    await scrape(metrics);
    const after = await scrape(metrics);
    expect(after.value('freehold_node_ready')).toBeUndefined();
    expect(after.value('freehold_open_orders')).toBe(4);
    expect(
      after.value('freehold_metrics_source_failures_total', { metric: 'freehold_node_ready' }),
    ).toBeGreaterThanOrEqual(1);
  });
});

describe('the text format', () => {
  it('parses, with every type declared, and tells about the process and its event loop', async () => {
    const metrics = createMetrics({ self: 'n1' });
    metrics.watch(sources());
    metrics.functions.called('a "quoted" \\ name\nin two lines', 0.1, 'ok');
    const scraped = await scrape(metrics);
    const { samples, types } = scraped;
    expect(metrics.contentType).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const { name, labels } of samples) {
      const base = name.replace(/_(bucket|sum|count)$/, '');
      expect(types.has(name) || types.get(base) === 'histogram', name).toBe(true);
      expect(labels['node']).toBe('n1');
    }
    expect(scraped.value('process_resident_memory_bytes')).toBeGreaterThan(0);
    expect(types.has('nodejs_eventloop_lag_p99_seconds')).toBe(true);
  });
});
