import type { Position } from '../../store/journal/port.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { MessageTaken } from '../ports/order-service.ts';
import type { RecordedEvent } from '../orders/events.ts';
import type { Order, OrderState, Outcome } from '../orders/order.ts';

/** What the order flow needs of the folded journal; `node/views` provides it. */
export interface Views {
  get(orderId: string): Promise<FoldedOrder | undefined>;
  peek(orderId: string): FoldedOrder | undefined;
  events(orderId: string): Promise<readonly RecordedEvent[] | undefined>;
  /** Whether an entry of the journal has been folded in, or lies behind what is forgotten. */
  hasTakenIn(position: Position): Promise<boolean>;
  record(event: RecordedEvent): void;
  open(): ReadonlySet<string>;
  list(query: {
    readonly state?: OrderState;
    readonly after?: string;
    readonly limit: number;
  }): Promise<{ readonly orders: readonly Order[]; readonly next?: string }>;
  onChange(listener: (orderId: string, folded: FoldedOrder) => void): () => void;
}

/** Which members of the zone answer now. */
export interface Membership {
  readonly self: string;
  /** Members of this zone as of now, this node included while it is one. */
  readonly members: readonly { readonly id: string; readonly voter: boolean }[];
  reachable(id: string): boolean;
  onReachability(handler: (id: string, reachable: boolean) => void): () => void;
}

/** Where the order flow tells what it does; every callback returns at once. */
export interface WorkflowObserver {
  step(step: string, seconds: number): void;
  ended(outcome: Outcome, seconds: number): void;
  /** The kind of a hold's answer; the reason where it was refused. */
  held(answer: string): void;
  parked(code: string): void;
  takenOver(): void;
  /** What became of a message of the payment provider. */
  notified(taken: MessageTaken): void;
  /** The journal's verdict on a registration, and how long it took. */
  registered(verdict: string, seconds: number): void;
}
