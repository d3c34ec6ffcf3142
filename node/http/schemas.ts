import {
  addMember,
  adjustStock,
  currency,
  discardParked,
  moveMember,
  ORDER_STATES,
  placeOrder,
} from './request-schemas.ts';

/**
 * JSON Schemas of what goes out, and the list of all shared schemas: registered once under their `$id`, used
 * by reference. They write the answers and are the OpenAPI document.
 */

const money = { type: 'integer', description: 'In minor units of the currency, such as cents.' } as const;
const time = { type: 'integer', description: 'Milliseconds since the Unix epoch.' } as const;
const units = { type: 'integer' } as const;

const order = {
  $id: 'Order',
  type: 'object',
  additionalProperties: false,
  required: [
    'id',
    'state',
    'createdAt',
    'updatedAt',
    'customer',
    'currency',
    'total',
    'lines',
    'capture',
    'payment',
    'cancelRequested',
    'home',
    'registration',
    'fingerprint',
  ],
  properties: {
    id: { type: 'string' },
    state: { type: 'string', enum: ORDER_STATES },
    outcome: { type: 'string', enum: ['fulfilled', 'refunded', 'failed', 'cancelled'] },
    reason: { type: 'string', description: 'Why it did not end as fulfilled; a stable code.' },
    createdAt: time,
    updatedAt: time,
    customer: {
      type: 'object',
      required: ['id', 'email'],
      properties: {
        id: { type: 'string' },
        email: { type: 'string' },
        name: { type: 'string' },
        address: { type: 'string' },
      },
    },
    currency,
    total: money,
    lines: {
      type: 'array',
      items: {
        type: 'object',
        required: ['sku', 'quantity', 'unitPrice'],
        properties: { sku: { type: 'string' }, quantity: units, unitPrice: money },
      },
    },
    capture: { type: 'string', enum: ['after-reserve', 'immediate'] },
    payment: {
      type: 'object',
      required: ['method', 'status'],
      properties: {
        method: { type: 'string' },
        returnUrl: { type: 'string' },
        status: {
          type: 'string',
          enum: [
            'pending',
            'requested',
            'action_required',
            'authorized',
            'captured',
            'refused',
            'voided',
            'refund_pending',
            'refund_failed',
            'refunded',
          ],
        },
        intent: { type: 'string' },
        declineCode: { type: 'string' },
        nextAction: {
          type: 'object',
          description: 'While `status` is `action_required`: what the customer has to do.',
          required: ['type'],
          properties: {
            type: { type: 'string', enum: ['redirect', 'sdk'] },
            url: { type: 'string', description: '`redirect`: send the customer there.' },
            clientSecret: {
              type: 'string',
              description: '`sdk`: for the provider’s script on the shop’s own page.',
            },
          },
        },
      },
    },
    cancelRequested: { type: 'boolean' },
    home: { type: 'string', description: 'The node that drives the order now.' },
    registration: { type: 'string', description: 'Where the registration stands in the journal.' },
    fingerprint: { type: 'string', description: 'Hash of what was asked for.' },
    traceparent: { type: 'string' },
  },
} as const;

const orderPage = {
  $id: 'OrderPage',
  type: 'object',
  additionalProperties: false,
  required: ['orders'],
  properties: {
    orders: { type: 'array', items: { $ref: 'Order#' } },
    next: { type: 'string', description: 'Give it as `after` for the next page; absent on the last.' },
  },
} as const;

const orderEvents = {
  $id: 'OrderEvents',
  type: 'object',
  additionalProperties: false,
  required: ['events'],
  properties: {
    events: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['id', 'orderId', 'type', 'at', 'node', 'data'],
        properties: {
          id: { type: 'string', description: 'Its place in the journal, such as n1:42.' },
          orderId: { type: 'string' },
          type: { type: 'string' },
          at: time,
          node: { type: 'string' },
          function: { type: 'string', description: 'The function that decided it; absent for the host.' },
          version: { type: 'string', description: "SHA-256 of the function's module." },
          cause: { type: 'string', description: 'The event this one follows from.' },
          traceparent: { type: 'string' },
          registration: { type: 'string' },
          data: { type: 'object', additionalProperties: true },
        },
      },
    },
  },
} as const;

const stock = {
  $id: 'Stock',
  type: 'object',
  additionalProperties: false,
  required: [
    'sku',
    'name',
    'available',
    'held',
    'sold',
    'onHand',
    'short',
    'unitPrice',
    'currency',
    'asOf',
    'linearizable',
  ],
  properties: {
    sku: { type: 'string' },
    name: { type: 'string' },
    available: {
      ...units,
      description: 'onHand − sold − held; negative when more is promised than there is.',
    },
    held: { ...units, description: 'Set aside for orders under way.' },
    sold: { ...units, description: 'Committed, not yet contained in onHand.' },
    onHand: { ...units, description: 'As last read from the system of record.' },
    short: {
      ...units,
      description: 'Units promised beyond what there is; the SKU does not sell until that is 0 again.',
    },
    holdMs: {
      type: 'integer',
      description: 'How long units are held for an order; absent: as the shop says.',
    },
    maxPerOrder: { ...units, description: 'Units that one order may have; absent: as the shop says.' },
    unitPrice: money,
    currency,
    asOf: { ...time, description: 'The leader’s time of the last decision seen here, ms since the epoch.' },
    linearizable: { type: 'boolean', description: 'Read on the leader: nothing newer exists anywhere.' },
  },
} as const;

const stockAdjustment = {
  $id: 'StockAdjustment',
  type: 'object',
  additionalProperties: false,
  required: ['id', 'sku', 'kind', 'delta', 'reason', 'by', 'at', 'onHand'],
  properties: {
    id: { type: 'string', description: 'The Idempotency-Key.' },
    sku: { type: 'string' },
    kind: { type: 'string', enum: ['restock', 'correction'] },
    delta: units,
    reason: { type: 'string' },
    by: { type: 'string' },
    at: { ...time, description: 'When it was recorded, by the system of record, ms since the epoch.' },
    onHand: { ...units, description: 'In the system of record now.' },
  },
} as const;

const stockPage = {
  $id: 'StockPage',
  type: 'object',
  additionalProperties: false,
  required: ['stock'],
  properties: {
    stock: { type: 'array', items: { $ref: 'Stock#' } },
    next: { type: 'string', description: 'Give it as `after` for the next page; absent on the last.' },
  },
} as const;

const parkedOrder = {
  type: 'object',
  additionalProperties: false,
  required: ['orderId', 'code', 'reason', 'at'],
  properties: {
    orderId: { type: 'string' },
    code: { type: 'string', description: 'Stable, such as `UNKNOWN_SKU`.' },
    reason: { type: 'string', description: 'The code, and what the system of record said.' },
    at: time,
  },
} as const;

const parkedPage = {
  $id: 'ParkedPage',
  type: 'object',
  additionalProperties: false,
  required: ['parked'],
  properties: {
    parked: { type: 'array', items: parkedOrder },
    next: { type: 'string', description: 'Give it as `after` for the next page; absent on the last.' },
  },
} as const;

const retriedOrder = {
  $id: 'RetriedOrder',
  type: 'object',
  additionalProperties: false,
  required: ['orderId', 'delivered'],
  properties: {
    orderId: { type: 'string' },
    delivered: { type: 'boolean' },
    reason: { type: 'string', description: 'Why it was refused again.' },
  },
} as const;

const driftReport = {
  $id: 'DriftReport',
  type: 'object',
  additionalProperties: false,
  required: [
    'startedAt',
    'finishedAt',
    'comparedFrom',
    'comparedUntil',
    'compared',
    'differences',
    'unchecked',
    'notes',
  ],
  properties: {
    startedAt: time,
    finishedAt: time,
    comparedFrom: { ...time, description: 'Orders created before it were not compared one by one.' },
    comparedUntil: { ...time, description: 'What changed after it is in flight, and was left out.' },
    compared: { type: 'object', additionalProperties: { type: 'integer' } },
    differences: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['code', 'figures', 'advice'],
        properties: {
          code: { type: 'string', description: 'Stable.' },
          orderId: { type: 'string' },
          sku: { type: 'string' },
          figures: {
            type: 'object',
            additionalProperties: false,
            description: 'What each book says.',
            properties: {
              journal: { type: 'string' },
              ledger: { type: 'string' },
              provider: { type: 'string' },
              systemOfRecord: { type: 'string' },
            },
          },
          advice: { type: 'string' },
        },
      },
    },
    unchecked: { type: 'integer', description: 'Orders that seemed to differ, beyond the first thousand.' },
    notes: { type: 'array', items: { type: 'string' } },
  },
} as const;

const reconcilerStatus = {
  $id: 'Reconcilers',
  type: 'object',
  additionalProperties: false,
  required: ['reconcilers'],
  properties: {
    leader: {
      type: 'string',
      description: 'The node that works on this; absent while none leads the ledger.',
    },
    reconcilers: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'running', 'lagSeconds', 'pending', 'parked', 'rejected'],
        properties: {
          name: { type: 'string' },
          running: { type: 'boolean' },
          lastRunAt: time,
          lastSuccessAt: time,
          lastError: { type: 'string' },
          lagSeconds: {
            type: ['number', 'null'],
            description:
              'Null when it is behind, and only the node that leads the ledger can say by how much.',
          },
          pending: { type: 'integer' },
          parked: {
            type: 'array',
            items: parkedOrder,
          },
          rejected: {
            type: 'array',
            description: 'Rows of the catalogue that were left out: their products do not sell.',
            items: {
              type: 'object',
              additionalProperties: false,
              required: ['sku', 'reason'],
              properties: { sku: { type: 'string' }, reason: { type: 'string' } },
            },
          },
        },
      },
    },
  },
} as const;

const reconcilerReport = {
  $id: 'ReconcilerReport',
  type: 'object',
  additionalProperties: false,
  required: ['name', 'startedAt', 'finishedAt', 'processed', 'parked', 'pending'],
  properties: {
    name: { type: 'string' },
    startedAt: time,
    finishedAt: time,
    processed: { type: 'integer' },
    parked: { type: 'integer' },
    pending: { type: 'integer' },
  },
} as const;

const cluster = {
  $id: 'Cluster',
  type: 'object',
  additionalProperties: false,
  required: ['self', 'term', 'members'],
  properties: {
    self: { type: 'string' },
    leader: { type: 'string', description: 'Absent while there is none, or none is known here.' },
    term: { type: 'integer' },
    members: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['id', 'peerId', 'zone', 'voter', 'reachable', 'position', 'lag'],
        properties: {
          id: { type: 'string' },
          peerId: { type: 'string' },
          zone: { type: 'string' },
          voter: { type: 'boolean' },
          reachable: { type: 'boolean' },
          position: { type: 'integer', description: 'The last sequence of its journal held here.' },
          lag: { type: 'integer', description: 'Entries of this node that it has not acknowledged.' },
        },
      },
    },
  },
} as const;

const members = {
  $id: 'Members',
  type: 'object',
  additionalProperties: false,
  required: ['members'],
  properties: {
    members: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['id', 'peerId', 'zone', 'address', 'voter'],
        properties: {
          id: { type: 'string' },
          peerId: { type: 'string' },
          zone: { type: 'string' },
          address: { type: 'string', description: 'Where the others reach its peer port.' },
          voter: { type: 'boolean' },
        },
      },
    },
  },
} as const;

const readiness = {
  $id: 'Readiness',
  type: 'object',
  additionalProperties: false,
  required: ['ready', 'reasons'],
  properties: { ready: { type: 'boolean' }, reasons: { type: 'array', items: { type: 'string' } } },
} as const;

const problem = {
  $id: 'Problem',
  type: 'object',
  additionalProperties: false,
  required: ['type', 'title', 'status', 'detail', 'code', 'instance'],
  description: 'RFC 9457. Decide by `code`, which is stable.',
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    instance: { type: 'string' },
    field: { type: 'string', description: 'Such as `lines[0].quantity`.' },
    state: { type: 'string' },
    leader: { type: 'string' },
    member: { type: 'string' },
    traceId: { type: 'string' },
  },
} as const;

/** Every shared schema, to be added to the Fastify instance before any route. */
export const SCHEMAS = [
  placeOrder,
  order,
  orderPage,
  orderEvents,
  stock,
  stockPage,
  adjustStock,
  stockAdjustment,
  reconcilerStatus,
  reconcilerReport,
  parkedPage,
  retriedOrder,
  discardParked,
  driftReport,
  cluster,
  addMember,
  moveMember,
  members,
  readiness,
  problem,
] as const;

export type SchemaName = (typeof SCHEMAS)[number]['$id'];
