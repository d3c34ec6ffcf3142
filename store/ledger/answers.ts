import { invariant } from '../environment.ts';
import { releaseReasons } from './commands.ts';
import type { Malformed } from './commands.ts';
import { pack, unpack } from './msgpack.ts';
import type { ClaimAnswer, CommitAnswer, HoldAnswer, ReleaseAnswer } from './port.ts';

/** What the stock machine answers, and its bytes. Never stored: both ends run in one cluster. */
export type StockAnswer =
  | HoldAnswer
  | CommitAnswer
  | ReleaseAnswer
  | ClaimAnswer
  | { readonly kind: 'synced'; readonly outcome: SyncOutcome }
  | { readonly kind: 'adjusted'; readonly applied: boolean }
  | { readonly kind: 'swept'; readonly holds: number }
  | { readonly kind: 'horizon'; readonly horizon: number }
  /** The command made no sense, or would pass a bound; nothing was changed. */
  | Malformed;

/**
 * `staged`: this part is kept, more are to come. `gap`: an earlier part is missing, start again from part 0.
 * `ignored`: a newer sync is already in effect or on its way.
 */
export type SyncOutcome = 'applied' | 'staged' | 'gap' | 'ignored';

const kinds = [
  'held',
  'committed',
  'expired',
  'released',
  'refused',
  'conflict',
  'absent',
  'claimed',
  'synced',
  'adjusted',
  'swept',
  'horizon',
  'forgotten',
  'malformed',
] as const satisfies readonly StockAnswer['kind'][];
const outcomes: readonly SyncOutcome[] = ['applied', 'staged', 'gap', 'ignored'];

export function encodeAnswer(answer: StockAnswer): Uint8Array {
  const kind = kinds.indexOf(answer.kind);
  switch (answer.kind) {
    case 'held':
      return pack([kind, answer.expiresAt]);
    case 'released':
      return pack([kind, releaseReasons.indexOf(answer.reason)]);
    case 'refused':
      return pack([kind, answer.reason === 'UNKNOWN_SKU', answer.sku]);
    case 'claimed':
      return pack([kind, answer.registration]);
    case 'synced':
      return pack([kind, outcomes.indexOf(answer.outcome)]);
    case 'adjusted':
      return pack([kind, answer.applied]);
    case 'swept':
      return pack([kind, answer.holds]);
    case 'horizon':
      return pack([kind, answer.horizon]);
    case 'malformed':
      return pack([kind, answer.detail]);
    case 'committed':
    case 'expired':
    case 'conflict':
    case 'absent':
    case 'forgotten':
      return pack([kind]);
  }
}

/** Throws on bytes that `encodeAnswer` did not make: nobody else writes answers. */
export function decodeAnswer(bytes: Uint8Array): StockAnswer {
  const [code, first, second] = unpack(bytes) as [number, unknown, unknown];
  const kind = kinds[code];
  invariant(kind !== undefined, `unknown answer ${code}`);
  switch (kind) {
    case 'held':
      return { kind, expiresAt: first as number };
    case 'released': {
      const reason = releaseReasons[first as number];
      invariant(reason !== undefined, 'unknown release reason');
      return { kind, reason };
    }
    case 'refused':
      return { kind, reason: first === true ? 'UNKNOWN_SKU' : 'OUT_OF_STOCK', sku: second as string };
    case 'claimed':
      return { kind, registration: first as string };
    case 'synced': {
      const outcome = outcomes[first as number];
      invariant(outcome !== undefined, 'unknown sync outcome');
      return { kind, outcome };
    }
    case 'adjusted':
      return { kind, applied: first as boolean };
    case 'swept':
      return { kind, holds: first as number };
    case 'horizon':
      return { kind, horizon: first as number };
    case 'malformed':
      return { kind, detail: first as string };
    case 'committed':
    case 'expired':
    case 'conflict':
    case 'absent':
    case 'forgotten':
      return { kind };
  }
}
