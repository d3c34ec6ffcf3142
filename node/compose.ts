import { randomUUID } from 'node:crypto';
import type { Environment } from '../store/environment.ts';
import {
  loadOrCreateIdentity,
  openStore,
  peerIdOf,
  type Identity,
  type Store,
  type StoreObserver,
} from '../store/index.ts';
import { ConfigError, type NodeConfig } from './config.ts';
import { Drain } from './drain.ts';
import { openFunctionHost } from './functions/host.ts';
import type { ClusterView, Readiness } from './http/dependencies.ts';
import { createHttpServer } from './http/server.ts';
import { Lifecycle } from './lifecycle.ts';
import { createMetrics } from './metrics/index.ts';
import { startOrderFlow } from './order-flow.ts';
import type { FunctionSettings } from './orders/effects.ts';
import { createStripeProvider } from './payments/stripe-provider.ts';
import { createAdjustments } from './reconcilers/adjustments.ts';
import { loadCatalog } from './reconcilers/catalog.ts';
import { createDrift } from './reconcilers/drift/report.ts';
import { createHttpSystemOfRecord } from './reconcilers/http-system-of-record.ts';
import type { HttpSystemOfRecord } from './reconcilers/http-system-of-record.ts';
import { createPostgres } from './reconcilers/postgres.ts';
import type { PostgresSystemOfRecord } from './reconcilers/postgres.ts';
import { mayHaveForgotten } from './retention/reach.ts';
import { FreeSpace, freeBytesOf } from './storage/free-space.ts';
import { decodeEntry } from './views/codec.ts';
import { createJournalBook } from './views/journal-book.ts';
import { watchMoney } from './workflow/money-watch.ts';

/**
 * Builds one node out of its parts and joins them, with `order-flow.ts` for what drives orders: these two are the
 * only files that know siblings. It decides nothing; it says who is handed to whom, in which order they start, and
 * that they stop in the opposite one.
 */
export interface RunningNode {
  readonly httpUrl: string;
  /** Drains, then stops everything. Idempotent; never rejects. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
/** The store reads all its files before it believes them: about a second per GiB, more on a slow disk. */
const STORE_START_TIMEOUT_MS = 15 * 60_000;
const STOP_TIMEOUT_MS = 5_000;
const DRAIN_STEP_TIMEOUT_MS = 8_000;
/** How long a starting node waits for what its peers have that it lacks; what is missing then comes while it serves. */
const CATCH_UP_TIMEOUT_MS = 5_000;
/** How long a drift report waits for what a majority of the journals holds. */
const COVERS_TIMEOUT_MS = 5_000;
const FUNCTION_QUEUE_MAX = 10_000;
const PAYMENT_QUEUE_MAX = 10_000;
/** Of a queue; the rest is for orders that were accepted. */
const SHARE_FOR_NEWCOMERS = 0.8;
/** Orders that are being registered at once: about a second's worth, so that none waits longer for its answer. */
const REGISTRATIONS_MAX = 500;

/** Rejects when a part does not start, with nothing left running. */
export async function startNode(
  config: NodeConfig,
  { environment }: { readonly environment: Environment },
): Promise<RunningNode> {
  const { log, clock } = environment;
  const self = config.node;
  const lifecycle = new Lifecycle(
    { startTimeoutMs: START_TIMEOUT_MS, stopTimeoutMs: STOP_TIMEOUT_MS },
    { clock, log },
  );
  const settings: FunctionSettings = {
    capture: config.payments.capture,
    holdTtlMs: config.orders.holdForMs,
    holdTtlMsMax: config.orders.holdAtMostMs,
    maxQuantity: config.orders.maxQuantity,
  };
  const identity = await ownIdentity(config);
  const state = { journalOpen: false, caughtUp: false };
  const metrics = createMetrics({ self });

  const sor = await lifecycle.start(
    'system of record client',
    () => systemOfRecordOf(config, environment),
    (part) => part.close(),
  );
  const payments = await lifecycle.start(
    'payments',
    () =>
      createStripeProvider(
        {
          apiKey: config.payments.apiKey.reveal(),
          ...config.payments.apiBase,
          webhookSecret: config.payments.webhookSecret.reveal(),
          timeoutMs: config.payments.timeoutMs,
          maxConcurrent: config.payments.maxConcurrent,
          requestsPerSecond: shareOf(config.members.length),
          maxQueue: PAYMENT_QUEUE_MAX,
          keyWindowMs: config.payments.keyWindowMs,
        },
        { environment, observer: metrics.payments },
      ),
    (part) => part.close(),
  );
  const functions = await lifecycle.start(
    'functions',
    () =>
      openFunctionHost(
        {
          directory: config.functions.directory,
          workers: config.functions.workers,
          queueMax: FUNCTION_QUEUE_MAX,
        },
        { environment, observer: metrics.functions },
      ),
    (part) => part.close(),
  );
  const storage = await lifecycle.start(
    'disk space',
    async () => {
      const part = new FreeSpace(config.disk, {
        environment,
        measure: () => freeBytesOf(config.dataDirectory),
      });
      await part.start();
      return part;
    },
    (part) => {
      part.stop();
    },
  );
  const store = await lifecycle.start(
    'store',
    () => open(config, identity, environment, metrics.disk),
    (part) => part.close(),
    { startTimeoutMs: STORE_START_TIMEOUT_MS },
  );
  const { membership } = store;
  payments.changeBudget(shareOf(membership.list().members.length));
  membership.onChange(({ members }) => payments.changeBudget(shareOf(members.length)));
  void store.journal.opened().then(
    () => {
      state.journalOpen = true;
    },
    () => undefined,
  );
  const { driver, orders, reconcilers, retention, views } = await startOrderFlow(
    {
      self,
      get members() {
        return membership.list().members.filter((member) => member.zone === config.zone);
      },
      settings,
      takeOverAfterMs: config.orders.takeOverAfterMs,
      abandonAfterMs: config.orders.abandonAfterMs,
      retainForMs: config.orders.retainForMs,
      isOneZone: isOneZone(),
      openOrdersMax: config.orders.maxOpen,
      unansweredOrdersMax: config.payments.maxUnanswered,
      payments: {
        authenticateWithinMs: config.orders.authenticateWithinMs,
        searchLagMs: config.payments.searchLagMs,
      },
      catchUpTimeoutMs: CATCH_UP_TIMEOUT_MS,
    },
    {
      lifecycle,
      environment,
      store,
      payments,
      onProviderBack: (listener) => payments.onAnsweringAgain(listener),
      functions,
      sor,
      randomKey: randomUUID,
      storage,
      prepare: async () => {
        if (config.catalog === undefined || sor.fillCatalog === undefined || (await sor.productCount()) > 0)
          return;
        const products = await sor.fillCatalog(await loadCatalog(config.catalog));
        log.info({ products, file: config.catalog }, 'filled the empty catalogue of the system of record');
      },
      observer: { orders: metrics.orders, reconcilers: metrics.reconcilers, views: metrics.orders },
    },
  );

  const drain = new Drain(
    { delayMs: config.http.drainDelayMs, stepTimeoutMs: DRAIN_STEP_TIMEOUT_MS },
    {
      clock,
      log,
      refuseOrders: () => orders.drain(),
      handOver: () => store.handOver(),
      finishOrders: (timeoutMs) => driver.drain(timeoutMs),
      stop: () => lifecycle.stop(),
    },
  );
  metrics.watch({
    openOrders: () => driver.active,
    journal: store.journal,
    ledger: store.ledger,
    ledgerKept: () => store.stats().ledger,
    network: store,
    reconcilers,
    storage,
    retention: () => retention.status(),
    paymentBreaker: () => payments.breakerState,
    money: () => watchMoney(views, clock.now()),
    queues: () => [
      { name: 'orders', items: driver.active, capacity: config.orders.maxOpen },
      { name: 'functions', items: functions.queueDepth, capacity: FUNCTION_QUEUE_MAX },
      { name: 'payments', items: payments.queueDepth, capacity: PAYMENT_QUEUE_MAX },
    ],
    ready: () => readiness().ready,
  });
  const drift = createDrift(
    { isOneZone: isOneZone() },
    {
      environment,
      journal: createJournalBook({
        views,
        horizon: () => retention.horizon(),
        catchUp: () => store.journal.covers(COVERS_TIMEOUT_MS),
      }),
      ledger: store.ledger,
      mayHaveForgotten: (horizon) =>
        mayHaveForgotten(horizon, { journal: store.journal, timeOf: (entry) => decodeEntry(entry).at }),
      provider: payments.book,
      record: sor.book,
      readInventory: (unappliedSales) => sor.readInventory(unappliedSales),
      readInbound: async () => {
        await reconcilers.run('inbound');
      },
    },
  );
  const server = createHttpServer(
    {
      self,
      trustProxy: config.http.trustProxy,
      requestTimeoutMs: config.http.requestTimeoutMs,
      ...(config.http.rateLimit === undefined ? {} : { rateLimit: config.http.rateLimit }),
    },
    {
      orders,
      ledger: store.ledger,
      reconcilers,
      drift,
      adjustments: createAdjustments({ environment, sor, ledger: store.ledger, reconcilers }),
      payments,
      cluster: () => clusterView(config, store),
      membership,
      readiness,
      queues: () => [
        { name: 'registrations', items: orders.registering, limit: REGISTRATIONS_MAX },
        { name: 'functions', items: functions.queueDepth, limit: FUNCTION_QUEUE_MAX * SHARE_FOR_NEWCOMERS },
        { name: 'payments', items: payments.queueDepth, limit: PAYMENT_QUEUE_MAX * SHARE_FOR_NEWCOMERS },
      ],
      draining: () => drain.isLeaving,
      metrics,
      environment,
    },
  );
  const httpUrl = await lifecycle.start(
    'http',
    () => server.listen({ host: config.http.host, port: config.http.port }),
    () => server.close(),
  );
  state.caughtUp = true;

  return { httpUrl, stop: () => drain.leave() };

  function isOneZone(): boolean {
    return membership.list().members.every((member) => member.zone === config.zone);
  }

  function readiness(): Readiness {
    const reasons: string[] = [];
    if (drain.isLeaving) reasons.push('the node is shutting down');
    if (!membership.list().members.some(({ id }) => id === self))
      reasons.push(
        'the node is no member of its cluster (NOT_A_MEMBER): it was taken out, or is not added yet',
      );
    const refusedBy = store.refusedBy();
    if (refusedBy.length > 0 && !store.members().some(({ id, reachable }) => id !== self && reachable))
      reasons.push(
        `other members refuse this node (${refusedBy.join(', ')}): it was taken out while it was down, or is not added yet`,
      );
    if (membership.isWaiting)
      reasons.push(
        'the disk was empty: the node waits for its cluster to take it in. If there is none yet, found it: start its ' +
          'first voters with --found',
      );
    if (storage.isLow)
      reasons.push(`the disk has less than ${String(storage.reserveBytes)} bytes left (disk.reserve)`);
    if (!state.journalOpen) reasons.push('the node is learning from its peers what its journal held');
    if (!state.caughtUp) reasons.push('the node is catching up with its peers');
    if (store.ledger.status().leader === undefined) reasons.push('the ledger has no leader');
    if (store.ledger.lastSyncAt() === 0) {
      // Known at the node that reads, the leader.
      const { lastError } = reconcilers.status().find(({ name }) => name === 'inbound') ?? {};
      const why = lastError === undefined ? '' : ` (${lastError})`;
      reasons.push(`no catalogue has been read from the system of record yet${why}`);
    }
    return { ready: reasons.length === 0, reasons };
  }

  /** One payment budget for the cluster: each node takes its share, whoever is up. */
  function shareOf(members: number): number {
    return config.payments.requestsPerSecond / Math.max(1, members);
  }
}

/** The others know this node by its identity: with another one than they were told, nobody would let it in. */
async function ownIdentity({ file, node, members, dataDirectory }: NodeConfig): Promise<Identity> {
  const identity = await loadOrCreateIdentity(dataDirectory);
  const index = members.findIndex((member) => member.id === node);
  const peerId = peerIdOf(identity);
  if (members[index]?.peerId === peerId) return identity;
  throw new ConfigError(file, [
    `${file}: members[${index}].peerId is not that of the identity in ${dataDirectory}, which is ${peerId}: restore ` +
      `that node's identity.key, or give the new peer id to all members`,
  ]);
}

function systemOfRecordOf(
  config: NodeConfig,
  environment: Environment,
): PostgresSystemOfRecord | HttpSystemOfRecord {
  const { kind, url, token } = config.systemOfRecord;
  if (kind === 'postgres')
    return createPostgres({ url: url.reveal(), statementTimeoutMs: 4_000 }, { environment });
  return createHttpSystemOfRecord(
    { url: url.reveal(), ...(token === undefined ? {} : { token: token.reveal() }) },
    { environment },
  );
}

function open(
  config: NodeConfig,
  identity: Identity,
  environment: Environment,
  observer: StoreObserver,
): Promise<Store> {
  return openStore(
    {
      self: config.node,
      zone: config.zone,
      dataDirectory: config.dataDirectory,
      identity,
      listen: config.peers,
      members: config.members,
      found: config.cluster.found,
      ledger: config.ledger,
    },
    { environment, observer },
  );
}

function clusterView(config: NodeConfig, store: Store): ClusterView {
  const { leader, term } = store.ledger.status();
  const vector = store.journal.vector();
  const lags = new Map(store.journal.replication().map(({ peer, lag }) => [peer, lag]));
  return {
    self: config.node,
    ...(leader === undefined ? {} : { leader }),
    term,
    members: store.members().map(({ id, peerId, zone, voter, reachable }) => ({
      id,
      peerId,
      zone,
      voter,
      reachable,
      position: vector[id] ?? 0,
      lag: lags.get(id) ?? 0,
    })),
  };
}
