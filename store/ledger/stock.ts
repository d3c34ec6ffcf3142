import { encodeAnswer } from './answers.ts';
import type { StockAnswer } from './answers.ts';
import type { Cancel } from '../environment.ts';
import { decodeCommand, encodeCommand } from './commands.ts';
import type { Command, Malformed } from './commands.ts';
import { limits } from './limits.ts';
import type { StateMachine } from './machine.ts';
import { close, dropForgotten, expireNext, grant, isForgotten, open, recall, sell } from './order-records.ts';
import { orderStock, promises } from './order-stock.ts';
import type { ClaimAnswer, CommitAnswer, HoldAnswer, Ledger, ReleaseAnswer, StockLevel } from './port.ts';
import { StockRestore } from './stock-restore.ts';
import { StockSnapshot } from './stock-snapshot.ts';
import { availableUnits, conservationResidual, emptyState } from './stock-state.ts';
import type { OrderState, Product, StockState } from './stock-state.ts';
import { adjust, sync } from './stock-sync.ts';

/**
 * Decides who gets which units: the state machine behind the ledger's log, after TigerBeetle's two-phase
 * transfer (pending, then posted, voided or timed out, once). It owns stock, holds and claims. It does not own
 * time (commands carry the leader's stamp), durability or agreement (the log's), or money and orders (callers').
 *
 *   hold ──► held ──► committed        held ──► released, expired       expired, refused ──► released
 *     └────► refused                   (nothing) ──► released
 *
 *   L1  The first hold of an order id is decided; later ones report what became of it. Other lines: conflict.
 *   L2  A hold takes all of its lines or none.
 *   L3  A hold is granted only out of available units, so it never makes available negative.
 *   L4  A hold resolves at most once. Committed is final; the first release reason stands.
 *   L5  Per SKU: available + held + sold = onHand, held = Σ standing holds, sold = Σ unapplied sales.
 *   L6  A hold whose expiry is not after the command's stamp is expired, swept or not: it is never committed,
 *       and its units never cause a refusal.
 *   L7  A sync takes effect whole or not at all, never after a newer one, and takes each sale out of `sold` once.
 *   L8  Nothing promised is taken back: a shrunken or dropped SKU stops selling and keeps what is held and sold.
 *   L9  Same commands, same answers, same rows in a snapshot; a restored machine continues like the original.
 *   L10 No input throws. A malformed command changes nothing.
 *   L11 A correction counts once per id, and is gone at the next sync, which reads the real figure.
 *   L12 The horizon never goes back and never passes the stamp. An order that promises units is never forgotten,
 *       nor one that was created or closed at or after the horizon.
 *   L13 An order behind the horizon is forgotten at once, swept or not: whatever is asked about it is answered so,
 *       and records nothing.
 *
 * DESIGN.md gives the reasons and names the test that guards each.
 */
export interface StockMachine
  extends
    StateMachine,
    Pick<
      Ledger,
      | 'stock'
      | 'stocks'
      | 'unappliedSales'
      | 'order'
      | 'promises'
      | 'lastSyncAt'
      | 'conservationResidual'
      | 'horizon'
      | 'onHorizon'
    > {}

export function createStockMachine(): StockMachine {
  let state = emptyState();
  const horizonHandlers = new Set<(horizon: number) => void>();
  const tellHorizon = (before: number): void => {
    if (state.horizon === before) return;
    for (const handler of horizonHandlers) handler(state.horizon);
  };
  return {
    apply: (at, bytes) => {
      const { horizon } = state;
      const answer = encodeAnswer(decide(state, at, decodeCommand(bytes)));
      tellHorizon(horizon);
      return answer;
    },
    due: (now) => {
      const hold = state.expiries.peek();
      if (hold !== undefined && hold.expiresAt <= now) return encodeCommand({ kind: 'expire' });
      const record = state.closed.peek();
      return record !== undefined && isForgotten(state, record)
        ? encodeCommand({ kind: 'forget', before: state.horizon })
        : undefined;
    },
    beginSnapshot: () => new StockSnapshot(state),
    beginRestore: () =>
      new StockRestore((restored) => {
        const { horizon } = state;
        state.snapshot?.abandon();
        state = restored;
        tellHorizon(horizon);
      }),
    stock: (sku) => {
      const product = state.products.get(sku);
      return product === undefined ? undefined : level(product);
    },
    stocks: () => Array.from(state.products.values(), level),
    unappliedSales: () => [...state.unapplied],
    order: (orderId) => {
      const record = state.orders.get(orderId);
      return record === undefined ? undefined : orderStock(record);
    },
    promises: () => promises(state),
    lastSyncAt: () => state.lastSyncAt,
    conservationResidual: () => conservationResidual(state),
    horizon: () => state.horizon,
    onHorizon: (handler): Cancel => {
      horizonHandlers.add(handler);
      if (state.horizon > 0) handler(state.horizon);
      return () => {
        horizonHandlers.delete(handler);
      };
    },
  };
}

function decide(state: StockState, at: number, command: Command | Malformed): StockAnswer {
  switch (command.kind) {
    case 'hold':
      return hold(state, at, command);
    case 'commit':
      return commit(state, at, command);
    case 'release':
      return release(state, at, command);
    case 'claim':
      return claim(state, at, command);
    case 'expire':
      return { kind: 'swept', holds: sweep(state, at) };
    case 'stockSync':
      return sync(state, at, command);
    case 'adjust':
      return adjust(state, command);
    case 'forget':
      // L12. A request from a clock that is ahead must not make orders of today forgotten.
      state.horizon = Math.max(state.horizon, Math.min(command.before, at));
      dropForgotten(state);
      return { kind: 'horizon', horizon: state.horizon };
    case 'malformed':
      return command;
  }
}

function hold(state: StockState, at: number, command: Extract<Command, { kind: 'hold' }>): HoldAnswer {
  const { fingerprint, lines } = command;
  const known = recall(state, at, command);
  if (known === 'forgotten') return { kind: 'forgotten' };
  if (known !== 'unknown' && known.state.kind !== 'claimed') {
    // L1. An order closed before any hold has no fingerprint to compare with.
    if (known.fingerprint !== '' && known.fingerprint !== fingerprint) return { kind: 'conflict' };
    return report(known.state);
  }
  const record = known === 'unknown' ? open(state, at, command) : known;
  record.fingerprint = fingerprint;
  const refuse = (reason: 'OUT_OF_STOCK' | 'UNKNOWN_SKU', sku: string): HoldAnswer => {
    const refused = { kind: 'refused', reason, sku } as const;
    close(state, record, refused, at);
    return refused;
  };

  for (const { sku, quantity } of lines) {
    const product = state.products.get(sku);
    if (product === undefined || !product.listed) return refuse('UNKNOWN_SKU', sku);
    // L6. A refusal stands for ever, so it must not rest on holds that are over and only wait for the sweep.
    while (availableUnits(product) < quantity) {
      if (!expireNext(state, at)) return refuse('OUT_OF_STOCK', product.sku);
    }
  }
  return report(grant(state, record, lines, at + command.ttlMs));
}

function commit(state: StockState, at: number, command: Extract<Command, { kind: 'commit' }>): CommitAnswer {
  const record = recall(state, at, command);
  if (record === 'forgotten') return { kind: 'forgotten' };
  if (record === 'unknown') return { kind: 'absent' };
  const current = record.state;
  switch (current.kind) {
    case 'held':
      sell(state, record, current);
      return { kind: 'committed' };
    case 'committed':
      return { kind: 'committed' };
    case 'released':
    case 'expired':
      return current;
    case 'refused':
    case 'claimed':
      return { kind: 'absent' };
  }
}

function release(
  state: StockState,
  at: number,
  command: Extract<Command, { kind: 'release' }>,
): ReleaseAnswer {
  const known = recall(state, at, command);
  if (known === 'forgotten') return { kind: 'forgotten' };
  // A tombstone: the order may still be on its way to its first hold, and must find itself closed.
  const record = known === 'unknown' ? open(state, at, command) : known;
  const current = record.state;
  switch (current.kind) {
    case 'released':
      return current;
    case 'committed':
      return { kind: 'committed' };
    case 'held':
    case 'expired':
    case 'refused':
    case 'claimed': {
      const released = { kind: 'released', reason: command.reason } as const;
      close(state, record, released, at);
      return released;
    }
  }
}

function claim(state: StockState, at: number, command: Extract<Command, { kind: 'claim' }>): ClaimAnswer {
  const known = recall(state, at, command);
  if (known === 'forgotten') return { kind: 'forgotten' };
  const record = known === 'unknown' ? open(state, at, command) : known;
  record.registration ??= command.registration;
  return { kind: 'claimed', registration: record.registration };
}

function sweep(state: StockState, at: number): number {
  let holds = 0;
  while (holds < limits.expiriesPerCommand && expireNext(state, at)) holds += 1;
  return holds;
}

function report(current: Exclude<OrderState, { kind: 'claimed' }>): HoldAnswer {
  switch (current.kind) {
    case 'held':
      return { kind: 'held', expiresAt: current.expiresAt };
    case 'committed':
      return { kind: 'committed' };
    case 'released':
    case 'expired':
    case 'refused':
      return current;
  }
}

function level(product: Product): StockLevel {
  const { sku, name, unitPrice, currency, rules, onHand, sold, held } = product;
  const available = availableUnits(product);
  return { sku, name, unitPrice, currency, ...rules, onHand, sold, held, available };
}
