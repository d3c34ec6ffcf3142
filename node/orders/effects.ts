import type { OrderFactType } from './events.ts';
import type { CaptureMode, Order, OrderLine, OrderRequest } from './order.ts';

/**
 * The vocabulary between host and functions (ABI version 1): a function gets one input, JSON, and returns
 * `{"effects": [...]}`. It performs nothing itself. Field names are the same on both sides of the boundary.
 */

/** Facts that call a function: those with nothing decided after them yet. */
export type TriggerFact = Extract<
  OrderFactType,
  | 'registered'
  | 'paid'
  | 'paymentRefused'
  | 'reserved'
  | 'captured'
  | 'captureRefused'
  | 'outOfStock'
  | 'holdLost'
  | 'reversed'
>;

export interface HttpInput {
  readonly abi: 1;
  readonly kind: 'http';
  readonly at: number;
  readonly orderId: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly body: OrderRequest;
  };
  /** One row per distinct SKU asked for that the shop knows; an unknown SKU has none. */
  readonly products: readonly {
    readonly sku: string;
    readonly name: string;
    readonly unitPrice: number;
    readonly currency: string;
    /** Units of it that one order may have; absent where only the shop's limit holds. */
    readonly maxPerOrder?: number;
  }[];
  readonly settings: FunctionSettings;
}

export interface OrderInput {
  readonly abi: 1;
  readonly kind: 'order';
  readonly at: number;
  /** The fact to act on. */
  readonly type: TriggerFact;
  /** Its `code`, where it has one, such as `card_declined`; else empty. */
  readonly code: string;
  readonly order: Pick<
    Order,
    'id' | 'state' | 'currency' | 'total' | 'lines' | 'capture' | 'cancelRequested'
  > & {
    readonly paymentStatus: string;
  };
  /** One row per distinct SKU of the order that has a hold time of its own; the others have the shop's. */
  readonly products: readonly { readonly sku: string; readonly holdTtlMs: number }[];
  readonly settings: FunctionSettings;
}

export interface TimerInput {
  readonly abi: 1;
  readonly kind: 'timer';
  readonly at: number;
  readonly name: string;
  /** The tick this call stands for, ms. Earlier missed ticks are folded into one. */
  readonly scheduledAt: number;
  /** Ended orders that the system of record does not have yet, as far as this node knows. */
  readonly pendingOrders: number;
}

export type FunctionInput = HttpInput | OrderInput | TimerInput;

export interface FunctionSettings {
  readonly capture: CaptureMode;
  /** How long units are set aside where their product says nothing. */
  readonly holdTtlMs: number;
  /** Whatever a function asks for, units are set aside no longer. */
  readonly holdTtlMsMax: number;
  /** Units of one product that an order may have, whatever the product says. */
  readonly maxQuantity: number;
}

export type Effect =
  /** http only. Accept the order, priced. The host checks total = sum of unitPrice × quantity, and the currency. */
  | {
      readonly type: 'order.register';
      readonly currency: string;
      readonly total: number;
      readonly lines: readonly OrderLine[];
    }
  /** http only. Refuse the request with a problem document. `status` 400–499. */
  | {
      readonly type: 'reply.refuse';
      readonly status: number;
      readonly code: string;
      readonly detail: string;
      readonly field: string;
    }
  | { readonly type: 'payment.authorize' }
  | { readonly type: 'payment.charge' }
  | { readonly type: 'payment.capture' }
  /** Void an authorization or refund a charge, whichever is due. */
  | { readonly type: 'payment.reverse' }
  | { readonly type: 'stock.hold'; readonly ttlMs: number }
  /** Commit the hold and end the order. Refused unless the money is captured. */
  | { readonly type: 'order.fulfil' }
  /** End an order whose money went back. */
  | { readonly type: 'order.refund'; readonly code: string }
  /** End an order that was never paid. */
  | { readonly type: 'order.fail'; readonly code: string }
  | { readonly type: 'order.cancel' }
  /** timer only. Read inventory from the system of record. */
  | { readonly type: 'inventory.pull' }
  /** timer only. Bring ended orders to the system of record, in batches of `batch` (1 to 500). */
  | { readonly type: 'orders.push'; readonly batch: number };

export type EffectType = Effect['type'];

export interface FunctionOutput {
  readonly effects: readonly Effect[];
}
