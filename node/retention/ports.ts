import type { Entry } from '../../store/journal/port.ts';

/** What retention needs of the folded journal; `node/views` provides it. */
export interface Views {
  /** Every order created before `horizon` (ms) has ended everywhere: it is not here any more. */
  forget(horizon: number): void;
  oldestUnclosed(): Promise<{ readonly orderId: string; readonly createdAt: number } | undefined>;
  /** No damage to what is stored is known that has not been made good. */
  isWhole(): boolean;
  kept(orderIds: readonly string[]): Promise<ReadonlySet<string>>;
  flush(): Promise<void>;
  flushedUpTo(origin: string): number;
}

/** What an entry is about. */
export interface Subject {
  readonly orderId: string;
  /** When the entry is a registration: what it says the order was created at, ms. */
  readonly registeredAt?: number;
}

export type SubjectOf = (entry: Entry) => Subject;
