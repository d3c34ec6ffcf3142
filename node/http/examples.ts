import type { SchemaName } from './schemas.ts';

/** One example per schema, shown in the API documentation and checked against the schema by its tests. */

const placeOrder = {
  customer: { id: 'c-1001', email: 'ada@example.com', name: 'Ada Byron', address: '12 Dorset St, London' },
  currency: 'EUR',
  lines: [{ sku: 'TEA-EARL-GREY', quantity: 2 }],
  payment: { method: 'pm_card_visa' },
};

const order = {
  id: 'ord_5m3xk2qj7w4tzc6ya2fhbnd3eo',
  state: 'fulfilled',
  outcome: 'fulfilled',
  createdAt: 1_795_000_000_000,
  updatedAt: 1_795_000_000_120,
  customer: placeOrder.customer,
  currency: 'EUR',
  total: 1_580,
  lines: [{ sku: 'TEA-EARL-GREY', quantity: 2, unitPrice: 790 }],
  capture: 'after-reserve',
  payment: { method: 'pm_card_visa', status: 'captured', intent: 'pi_3QK0' },
  cancelRequested: false,
  home: 'n1',
  registration: 'n1:42',
  fingerprint: 'k4w7yb3m2x6qd5tzncfhj2aeoi',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
};

const stock = {
  sku: 'TEA-EARL-GREY',
  name: 'Earl Grey, 250 g',
  available: 95,
  held: 2,
  sold: 3,
  onHand: 100,
  short: 0,
  unitPrice: 790,
  currency: 'EUR',
  asOf: 1_795_000_000_100,
  linearizable: true,
};

const parkedOrder = {
  orderId: order.id,
  code: 'UNKNOWN_SKU',
  reason: 'UNKNOWN_SKU: TEA-EARL-GREY is not in the inventory',
  at: 1_795_000_000_000,
};

export const EXAMPLES: Readonly<Record<Exclude<SchemaName, 'Problem'>, object>> = {
  PlaceOrder: placeOrder,
  Order: order,
  OrderPage: { orders: [order], next: `001795000000000!${order.id}` },
  OrderEvents: {
    events: [
      {
        id: 'n1:43',
        orderId: order.id,
        type: 'paid',
        at: 1_795_000_000_060,
        node: 'n1',
        function: 'payment',
        version: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
        cause: 'n1:42',
        traceparent: order.traceparent,
        registration: 'n1:42',
        data: { mode: 'authorized', intent: 'pi_3QK0', attempt: 1 },
      },
    ],
  },
  Stock: stock,
  StockPage: { stock: [stock] },
  AdjustStock: { kind: 'correction', delta: -2, reason: 'broken in the storeroom', by: 'ada' },
  StockAdjustment: {
    id: 'count-2026-11-22-7',
    sku: stock.sku,
    kind: 'correction',
    delta: -2,
    reason: 'broken in the storeroom',
    by: 'ada',
    at: 1_795_000_000_200,
    onHand: 98,
  },
  Reconcilers: {
    leader: 'n1',
    reconcilers: [
      {
        name: 'outbound',
        running: false,
        lastRunAt: 1_795_000_000_000,
        lastSuccessAt: 1_795_000_000_000,
        lagSeconds: 1.5,
        pending: 3,
        parked: [parkedOrder],
        rejected: [],
      },
    ],
  },
  ParkedPage: { parked: [parkedOrder] },
  RetriedOrder: { orderId: order.id, delivered: false, reason: parkedOrder.reason },
  DiscardParked: { reason: 'entered by hand, stock corrected', by: 'ada' },
  DriftReport: {
    startedAt: 1_795_000_100_000,
    finishedAt: 1_795_000_103_000,
    comparedFrom: 1_790_000_000_000,
    comparedUntil: 1_795_000_040_000,
    compared: { orders: 2_000, inFlight: 3, payments: 2_003, booked: 2_000, products: 12 },
    differences: [
      {
        code: 'CHARGED_TWICE',
        orderId: order.id,
        figures: {
          journal: 'fulfilled, 1580 EUR',
          provider: 'pi_3QK0: captured 1580 EUR; pi_3QK1: captured 1580 EUR',
        },
        advice: 'Refund all but one of the payments at the provider.',
      },
    ],
    unchecked: 0,
    notes: [],
  },
  ReconcilerReport: {
    name: 'outbound',
    startedAt: 1_795_000_000_000,
    finishedAt: 1_795_000_000_040,
    processed: 12,
    parked: 0,
    pending: 0,
  },
  Cluster: {
    self: 'n1',
    leader: 'n2',
    term: 7,
    members: [
      {
        id: 'n2',
        peerId: '12D3KooWBhVbVxWtYQ5Sd9PS6mV5b5sH2yK8T6gPq3mBq4dNq1Zt',
        zone: 'eu-west',
        voter: true,
        reachable: true,
        position: 41,
        lag: 0,
      },
    ],
  },
  AddMember: {
    id: 'n4',
    peerId: '12D3KooWBhVbVxWtYQ5Sd9PS6mV5b5sH2yK8T6gPq3mBq4dNq1Zt',
    zone: 'eu-west',
    address: '10.0.0.14:9080',
  },
  MoveMember: { address: '10.0.0.24:9080' },
  Members: {
    members: [
      {
        id: 'n4',
        peerId: '12D3KooWBhVbVxWtYQ5Sd9PS6mV5b5sH2yK8T6gPq3mBq4dNq1Zt',
        zone: 'eu-west',
        address: '10.0.0.14:9080',
        voter: false,
      },
    ],
  },
  Readiness: { ready: true, reasons: [] },
};
