import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import type { Clock } from '../../store/environment.ts';
import type { StockLevel } from '../../store/ledger/port.ts';
import type { DriftReport } from '../../node/ports/drift.ts';
import type { MemberRecord } from '../../store/membership/port.ts';
import type { HttpDependencies, HttpOptions } from '../../node/http/dependencies.ts';
import { createHttpServer } from '../../node/http/server.ts';
import type { RecordedEvent } from '../../node/orders/events.ts';
import type { Order, OrderState } from '../../node/orders/order.ts';
import { seededRandom } from '../support/random.ts';
import { testEnvironment, type TestEnvironment } from '../support/environment.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { documentCheck } from './document.ts';
import type { Deadline } from '../../node/ports/deadline.ts';
import type { Answer, OrderService, PlaceOrder, Refusal } from '../../node/ports/order-service.ts';
import type { PaymentMessage } from '../../node/ports/payments.ts';

/**
 * The HTTP interface over an order service in memory, which keeps what reached it. The port is the boundary
 * here; the real flow behind it has tests of its own.
 */

export const VALID = {
  customer: { id: 'c-1', email: 'ada@example.com' },
  currency: 'EUR',
  lines: [{ sku: 'TEA', quantity: 2 }],
  payment: { method: 'pm_card_visa' },
};

export class OrdersInMemory implements OrderService {
  readonly placed: PlaceOrder[] = [];
  readonly paymentChanges: string[] = [];
  readonly orders = new Map<string, Order>();
  /** What the next calls are refused with. */
  refusal: Refusal | undefined;
  /** What the next calls throw: a bug behind the port. */
  bug: Error | undefined;
  private readonly byKey = new Map<string, string>();

  async place(asked: PlaceOrder, _deadline?: Deadline): ReturnType<OrderService['place']> {
    if (this.bug !== undefined) throw this.bug;
    if (this.refusal !== undefined) return { ok: false, refusal: this.refusal };
    this.placed.push(asked);
    const known = asked.idempotencyKey === undefined ? undefined : this.byKey.get(asked.idempotencyKey);
    const order = this.orders.get(known ?? '') ?? orderFor(asked, `ord_${this.orders.size + 1}`);
    this.orders.set(order.id, order);
    if (asked.idempotencyKey !== undefined) this.byKey.set(asked.idempotencyKey, order.id);
    return { ok: true, value: { order, replayed: known !== undefined, waited: asked.waitMs > 0 } };
  }

  absence: 'ORDER_NOT_FOUND' | 'ORDER_NOT_KEPT' = 'ORDER_NOT_FOUND';

  absent(orderId: string): ReturnType<OrderService['absent']> {
    return { code: this.absence, detail: `no order ${orderId} is known to this node` };
  }

  async find(orderId: string): Promise<Order | undefined> {
    if (this.bug !== undefined) throw this.bug;
    return this.orders.get(orderId);
  }

  async events(orderId: string): Promise<readonly RecordedEvent[] | undefined> {
    if (!this.orders.has(orderId)) return undefined;
    return [
      {
        id: 'n1:2',
        orderId,
        at: 1,
        node: 'n1',
        function: 'payment',
        version: 'f'.repeat(64),
        cause: 'n1:1',
        type: 'paid',
        data: { mode: 'authorized', intent: 'pi_1', attempt: 1 },
      },
    ];
  }

  async list(query: { readonly state?: OrderState; readonly after?: string; readonly limit: number }) {
    const orders = [...this.orders.values()].slice(0, query.limit);
    return this.orders.size > query.limit
      ? { orders, next: `001795000000000!${orders.at(-1)?.id ?? ''}` }
      : { orders };
  }

  async cancel(orderId: string): Promise<Answer<Order>> {
    if (this.refusal !== undefined) return { ok: false, refusal: this.refusal };
    const order = this.orders.get(orderId);
    return order === undefined
      ? { ok: false, refusal: { code: 'ORDER_NOT_FOUND', detail: 'unknown' } }
      : { ok: true, value: { ...order, cancelRequested: true } };
  }

  paymentChanged(message: PaymentMessage): ReturnType<OrderService['paymentChanged']> {
    if (this.refusal !== undefined) return Promise.resolve({ ok: false, refusal: this.refusal });
    this.paymentChanges.push(message.orderId ?? '');
    return Promise.resolve({ ok: true, value: 'kept' });
  }
}

function orderFor(asked: PlaceOrder, id: string): Order {
  return {
    id,
    state: 'registered',
    createdAt: 1_795_000_000_000,
    updatedAt: 1_795_000_000_000,
    customer: asked.customer,
    currency: asked.currency,
    total: asked.lines.reduce((sum, line) => sum + line.quantity * 100, 0),
    lines: asked.lines.map((line) => ({ ...line, unitPrice: 100 })),
    capture: 'after-reserve',
    payment: { method: asked.payment.method, status: 'pending' },
    cancelRequested: false,
    home: 'n1',
    registration: 'n1:1',
    fingerprint: 'f',
    ...(asked.traceparent === undefined ? {} : { traceparent: asked.traceparent }),
  };
}

export function stockLevel(sku: string): StockLevel {
  return {
    sku,
    name: `Product ${sku}`,
    unitPrice: 100,
    currency: 'EUR',
    onHand: 10,
    sold: 3,
    held: 2,
    available: 5,
  };
}

export interface Fixture {
  readonly app: FastifyInstance;
  readonly orders: OrdersInMemory;
  /** What the last request was observed as. */
  readonly answered: { readonly method: string; readonly route: string; readonly status: number }[];
  readonly environment: TestEnvironment;
  /** Injects, and checks the answer against what `/openapi.json` says about it. */
  send(request: InjectOptions): Promise<LightMyRequestResponse>;
  /** The problems the last request was counted under. */
  readonly refused: string[];
  /** Why requests were not waited for any more, so far. */
  readonly gaveUp: string[];
  draining: boolean;
  queues: ReturnType<HttpDependencies['queues']>;
  readiness: { readonly ready: boolean; readonly reasons: readonly string[] };
  changeMembers: HttpDependencies['membership']['change'];
  adjustStock: HttpDependencies['adjustments']['adjust'];
  runReconciler: (name: string) => ReturnType<HttpDependencies['reconcilers']['run']>;
  retryParked: HttpDependencies['reconcilers']['retryParked'];
  discardParked: HttpDependencies['reconcilers']['discardParked'];
  reportDrift: HttpDependencies['drift']['report'];
}

export function memberNamed(id: string): MemberRecord {
  return { id, peerId: '12D3', zone: 'a', address: { host: '::1', port: 9_080 }, voter: true };
}

export const parkedOrder = { orderId: 'ord_9', code: 'UNKNOWN_SKU', reason: 'UNKNOWN_SKU: TEA', at: 1 };

export const parkedNext = '9007199254740990!ord_9';

export const driftReport: DriftReport = {
  startedAt: 1,
  finishedAt: 2,
  comparedFrom: 0,
  comparedUntil: 1,
  compared: {
    orders: 4,
    inFlight: 1,
    payments: 3,
    foreignPayments: 0,
    booked: 4,
    products: 2,
    discarded: 0,
  },
  differences: [
    {
      code: 'MONEY_KEPT',
      orderId: 'ord_1',
      figures: { provider: 'pi_1: captured 5 EUR' },
      advice: 'Refund it.',
    },
  ],
  unchecked: 0,
  notes: [],
};

/** A webhook body is genuine here when its signature is `sha-of-nothing:` and the body's length. */
export function signatureFor(body: string): string {
  return `length:${Buffer.byteLength(body)}`;
}

export function httpFixture(options: Partial<HttpOptions> = {}, clock: Clock = new VirtualClock()): Fixture {
  const orders = new OrdersInMemory();
  const environment = testEnvironment({ clock, random: seededRandom(1) });
  const short = { ...stockLevel('SHORT'), onHand: 3, available: -2 };
  const skus = [...['TEA', 'MUG', 'POT'].map(stockLevel), short];
  const fixture: Fixture = {
    app: undefined as never,
    orders,
    answered: [],
    refused: [],
    gaveUp: [],
    environment,
    send: undefined as never,
    draining: false,
    queues: [],
    readiness: { ready: true, reasons: [] },
    changeMembers: async () => ({ members: [memberNamed('n2')], epochs: {} }),
    adjustStock: async (adjustment) => ({
      kind: 'adjusted',
      adjustment,
      at: 1,
      onHand: 10 + adjustment.delta,
      replayed: false,
    }),
    retryParked: async (orderId) => ({ orderId, delivered: true }),
    discardParked: async () => undefined,
    reportDrift: async ({ since = 0 }) => ({ ...driftReport, comparedFrom: since }),
    runReconciler: async (name) => ({
      name,
      startedAt: 1,
      finishedAt: 2,
      processed: 3,
      parked: 0,
      pending: 0,
    }),
  };
  const app = createHttpServer(
    { self: 'n1', ...options },
    {
      orders,
      ledger: {
        stock: (sku) => skus.find((level) => level.sku === sku),
        stocks: () => skus,
        freshness: () => ({ linearizable: false, asOf: 1_795_000_000_000 }),
        status: () => ({
          role: 'follower',
          leader: 'n2',
          term: 7,
          lastIndex: 9,
          commitIndex: 9,
          appliedIndex: 9,
          match: {},
        }),
      },
      reconcilers: {
        status: () => [
          {
            name: 'outbound',
            running: false,
            lastRunAt: 1,
            lagSeconds: null,
            pending: 1,
            parked: [parkedOrder],
            rejected: [],
          },
        ],
        run: (name) => fixture.runReconciler(name),
        parked: ({ after }) =>
          after === undefined ? { parked: [parkedOrder], next: parkedNext } : { parked: [] },
        retryParked: (orderId) => fixture.retryParked(orderId),
        discardParked: (orderId, decision) => fixture.discardParked(orderId, decision),
      },
      drift: { report: (query) => fixture.reportDrift(query) },
      adjustments: { adjust: (adjustment) => fixture.adjustStock(adjustment) },
      payments: {
        verifyWebhook: (body, signature) =>
          signature === signatureFor(body.toString())
            ? { eventId: 'evt_1', type: 'payment_intent.succeeded', orderId: 'ord_1' }
            : undefined,
      },
      cluster: () => ({
        self: 'n1',
        leader: 'n2',
        term: 7,
        members: [{ id: 'n2', peerId: '12D3', zone: 'a', voter: true, reachable: true, position: 4, lag: 0 }],
      }),
      membership: {
        list: () => ({ members: [memberNamed('n2')], epochs: {} }),
        change: (change) => fixture.changeMembers(change),
      },
      readiness: () => fixture.readiness,
      queues: () => fixture.queues,
      draining: () => fixture.draining,
      metrics: {
        contentType: 'text/plain; version=0.0.4; charset=utf-8',
        render: async () => 'up 1\n',
        http: {
          answered: (request) => void fixture.answered.push(request),
          refused: (code) => void fixture.refused.push(code),
          gaveUp: (reason) => void fixture.gaveUp.push(reason),
        },
      },
      environment,
    },
  );
  const check = documentCheck(app);
  const send = async (request: InjectOptions) => {
    fixture.answered.length = 0;
    fixture.refused.length = 0;
    const response = await app.inject(request);
    await check(String(request.method ?? 'GET'), fixture.answered[0]?.route ?? 'unmatched', response);
    return response;
  };
  return Object.assign(fixture, { app, send });
}
