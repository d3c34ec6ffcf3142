import { SKU_LENGTH_MAX, SKU_PATTERN } from '../orders/sku.ts';

/**
 * JSON Schemas of what comes in. They are enforced as they are documented: nothing is coerced, filled in or
 * silently removed, and everything has a bound.
 */

/** No control characters: PostgreSQL refuses NUL, terminals obey the others. No lone surrogates: not UTF-8. */
const LINE_OF_TEXT = '^[^\\u0000-\\u001f\\u007f\\ud800-\\udfff]+$';
/** The same, with tabs and line breaks. */
const TEXT = '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f\\ud800-\\udfff]+$';
const VISIBLE_ASCII = '^[\\x21-\\x7e]+$';

/** Plain http only to a loopback address, for development. */
const RETURN_URL =
  '^(https://[A-Za-z0-9.-]+(:[0-9]{1,5})?|http://(localhost|127\\.0\\.0\\.1|\\[::1\\])(:[0-9]{1,5})?)([/?#][\\x21-\\x7e]*)?$';

export const currency = { type: 'string', pattern: '^[A-Z]{3}$', description: 'ISO 4217.' } as const;

export const sku = {
  type: 'string',
  maxLength: SKU_LENGTH_MAX,
  pattern: SKU_PATTERN,
  description: 'Letters, digits, and . _ : - after the first character.',
} as const;

export const orderId = {
  type: 'string',
  minLength: 1,
  maxLength: 64,
  pattern: '^[A-Za-z0-9_-]+$',
} as const;

/**
 * `next` of a page of orders: when its last one was created, and its id. Another form is refused: as a place to go on
 * from it could be any, and whoever follows `next` would begin anew for ever.
 */
export const orderCursor = {
  type: 'string',
  pattern: '^[0-9]{15}![A-Za-z0-9_-]{1,64}$',
  description: '`next` of the page before.',
} as const;

/** The same of a page of parked outcomes. */
export const parkedCursor = { ...orderCursor, pattern: '^[0-9]{16}![A-Za-z0-9_-]{1,64}$' } as const;

export const ORDER_STATES = [
  'registered',
  'paid',
  'reserved',
  'fulfilled',
  'refunded',
  'failed',
  'cancelled',
  'synced',
  'discarded',
] as const;

const customer = {
  type: 'object',
  additionalProperties: false,
  required: ['id', 'email'],
  properties: {
    id: { type: 'string', maxLength: 128, pattern: LINE_OF_TEXT },
    email: {
      type: 'string',
      maxLength: 254,
      pattern:
        '^[^\\s@\\u0000-\\u001f\\u007f\\ud800-\\udfff]+@[^\\s@\\u0000-\\u001f\\u007f\\ud800-\\udfff]+\\.[^\\s@\\u0000-\\u001f\\u007f\\ud800-\\udfff]+$',
    },
    name: { type: 'string', maxLength: 200, pattern: LINE_OF_TEXT },
    address: { type: 'string', maxLength: 1_000, pattern: TEXT },
  },
} as const;

export const placeOrder = {
  $id: 'PlaceOrder',
  type: 'object',
  additionalProperties: false,
  required: ['customer', 'currency', 'lines', 'payment'],
  properties: {
    customer,
    currency,
    lines: {
      type: 'array',
      minItems: 1,
      maxItems: 100,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['sku', 'quantity'],
        properties: { sku, quantity: { type: 'integer', minimum: 1, maximum: 10_000 } },
      },
    },
    payment: {
      type: 'object',
      additionalProperties: false,
      required: ['method'],
      properties: {
        method: {
          type: 'string',
          maxLength: 128,
          pattern: VISIBLE_ASCII,
          description: "The payment provider's token for a means of payment; never a card number.",
        },
        returnUrl: {
          type: 'string',
          maxLength: 2_000,
          pattern: RETURN_URL,
          description:
            'Where the bank sends the customer back to, if it wants to see them: https, or http on this machine. ' +
            'Without it, the shop’s own page has to go on with `nextAction`.',
        },
      },
    },
  },
} as const;

export const adjustStock = {
  $id: 'AdjustStock',
  type: 'object',
  additionalProperties: false,
  required: ['kind', 'delta', 'reason', 'by'],
  properties: {
    kind: {
      type: 'string',
      enum: ['restock', 'correction'],
      description: '`restock`: units came in. `correction`: the figure was wrong, or became so.',
    },
    delta: {
      type: 'integer',
      minimum: -1_000_000_000,
      maximum: 1_000_000_000,
      not: { const: 0 },
      description: 'Units; more than 0 for a restock.',
    },
    reason: { type: 'string', maxLength: 500, pattern: LINE_OF_TEXT },
    by: { type: 'string', maxLength: 128, pattern: LINE_OF_TEXT, description: 'Who answers for it.' },
  },
  if: { properties: { kind: { const: 'restock' } } },
  then: { properties: { delta: { type: 'integer', minimum: 1 } } },
} as const;

export const discardParked = {
  $id: 'DiscardParked',
  type: 'object',
  additionalProperties: false,
  required: ['reason', 'by'],
  properties: {
    reason: { type: 'string', maxLength: 500, pattern: LINE_OF_TEXT, description: 'Kept with the order.' },
    by: { type: 'string', maxLength: 128, pattern: LINE_OF_TEXT, description: 'Who decided it.' },
  },
} as const;

const peerAddress = {
  type: 'string',
  maxLength: 260,
  pattern: '^(\\[[0-9a-fA-F:]+\\]|[^\\s:/\\[\\]\\u0000-\\u001f\\u007f\\ud800-\\udfff]+):[0-9]{1,5}$',
  description: '`host:port`; an IPv6 address stands in brackets.',
} as const;

export const addMember = {
  $id: 'AddMember',
  type: 'object',
  additionalProperties: false,
  required: ['id', 'peerId', 'zone', 'address'],
  properties: {
    id: { type: 'string', maxLength: 32, pattern: '^[a-z][a-z0-9-]*$', description: 'Such as `n4`.' },
    peerId: {
      type: 'string',
      maxLength: 128,
      pattern: '^[1-9A-HJ-NP-Za-km-z]+$',
      description: 'What `freehold identity` prints on its machine.',
    },
    zone: { type: 'string', maxLength: 64, pattern: LINE_OF_TEXT },
    address: peerAddress,
  },
} as const;

export const moveMember = {
  $id: 'MoveMember',
  type: 'object',
  additionalProperties: false,
  required: ['address'],
  properties: { address: peerAddress },
} as const;
