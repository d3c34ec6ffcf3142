import type { Environment } from '../environment.ts';
import { decodeAnswer } from './answers.ts';
import type { StockAnswer } from './answers.ts';
import { decodeCommand, encodeCommand } from './commands.ts';
import type { Command } from './commands.ts';
import { limits } from './limits.ts';
import type { ReplicatedLog } from './machine.ts';
import { LedgerError } from './port.ts';
import type { CommandPatience, Ledger, ProductRow, StockSync } from './port.ts';
import type { StockMachine } from './stock.ts';

/**
 * The `Ledger` of the port: turns calls into commands of the replicated log, and reads from this node's copy of
 * the stock machine. It owns no state of its own, retries nothing and decides nothing.
 */
export interface LedgerOptions {
  /** How long a command may stay undecided before the caller hears TIMEOUT. */
  readonly commandTimeoutMs: number;
}

/** The replicated log together with what it knows of itself. */
export type LedgerLog = ReplicatedLog & Pick<Ledger, 'status' | 'freshness' | 'onLeadership'>;

export interface LedgerDependencies {
  readonly log: LedgerLog;
  /** The machine that `log` drives on this node. */
  readonly machine: StockMachine;
  readonly environment: Pick<Environment, 'log'>;
}

/** The caller asked for something that no ledger would accept, such as half a unit: a bug upstream. */
export class InvalidCommandError extends Error {
  readonly code = 'INVALID_COMMAND';
  constructor(command: Command['kind'], detail: string) {
    super(`INVALID_COMMAND: ${command}: ${detail}`);
    this.name = 'InvalidCommandError';
  }
}

/** A gap means that another sync, or a leader change, came between two parts; the next attempt starts over. */
const syncAttempts = 3;

export function createLedger(options: LedgerOptions, dependencies: LedgerDependencies): Ledger {
  const { log, machine, environment } = dependencies;

  /** Rejects with LedgerError when undecided, with InvalidCommandError when refused as malformed. */
  async function decide(command: Command, patience: CommandPatience = {}): Promise<StockAnswer> {
    const bytes = encodeCommand(command);
    // The machine would refuse it too. Checked here, it costs neither a place in the log nor a round trip.
    const checked = decodeCommand(bytes);
    if (checked.kind === 'malformed') throw new InvalidCommandError(command.kind, checked.detail);
    const timeoutMs = Math.min(options.commandTimeoutMs, patience.timeoutMs ?? Infinity);
    const answer = decodeAnswer(await log.submit(bytes, { timeoutMs }));
    if (answer.kind === 'malformed') throw new InvalidCommandError(command.kind, answer.detail);
    return answer;
  }

  return {
    async hold(hold) {
      const answer = await decide({ kind: 'hold', ...hold });
      switch (answer.kind) {
        case 'held':
        case 'committed':
        case 'expired':
        case 'released':
        case 'refused':
        case 'conflict':
        case 'forgotten':
          return answer;
        default:
          throw unexpected('hold', answer);
      }
    },

    async commit(order) {
      const answer = await decide({ kind: 'commit', ...order });
      switch (answer.kind) {
        case 'committed':
        case 'expired':
        case 'released':
        case 'absent':
        case 'forgotten':
          return answer;
        default:
          throw unexpected('commit', answer);
      }
    },

    async release(release, patience) {
      const answer = await decide({ kind: 'release', ...release }, patience);
      switch (answer.kind) {
        case 'released':
        case 'committed':
        case 'forgotten':
          return answer;
        default:
          throw unexpected('release', answer);
      }
    },

    async claim(claim, patience) {
      const answer = await decide({ kind: 'claim', ...claim }, patience);
      if (answer.kind === 'claimed' || answer.kind === 'forgotten') return answer;
      throw unexpected('claim', answer);
    },

    async forget(before) {
      const answer = await decide({ kind: 'forget', before });
      if (answer.kind === 'horizon') return { horizon: answer.horizon };
      throw unexpected('forget', answer);
    },

    async sync(sync) {
      const parts = splitSync(sync);
      for (let attempt = 1; attempt <= syncAttempts; attempt += 1) {
        const outcome = await sendParts(parts, decide);
        if (outcome !== 'gap') return { applied: outcome === 'applied' };
        environment.log.warn({ attempt, parts: parts.length }, 'stock sync was interrupted, starting over');
      }
      throw new LedgerError('TIMEOUT', 'the stock sync was interrupted again and again');
    },

    async adjust(adjustment, patience) {
      const answer = await decide({ kind: 'adjust', ...adjustment }, patience);
      if (answer.kind === 'adjusted') return { applied: answer.applied };
      throw unexpected('adjust', answer);
    },

    stock: (sku) => machine.stock(sku),
    stocks: () => machine.stocks(),
    unappliedSales: () => machine.unappliedSales(),
    order: (orderId) => machine.order(orderId),
    promises: () => machine.promises(),
    lastSyncAt: () => machine.lastSyncAt(),
    horizon: () => machine.horizon(),
    onHorizon: (handler) =>
      machine.onHorizon((horizon) => {
        try {
          handler(horizon);
        } catch (error) {
          environment.log.error({ error: String(error), horizon }, 'a handler of the horizon failed');
        }
      }),
    conservationResidual: () => machine.conservationResidual(),
    freshness: () => log.freshness(),
    status: () => log.status(),
    onLeadership: (handler) => log.onLeadership(handler),
  };
}

type SyncPart = Extract<Command, { kind: 'stockSync' }>;

type SyncEntry =
  { readonly product: ProductRow } | { readonly removed: string } | { readonly applied: string };

/** A part closes when it may hold this much: the log takes far more, but nothing else moves meanwhile. */
const partBytesMax = 1024 * 1024;

/** Parts small enough for the log; the machine puts them together and applies them as one. */
function splitSync(sync: StockSync): readonly SyncPart[] {
  const entries: SyncEntry[] = [
    ...sync.products.map((product) => ({ product })),
    ...sync.removed.map((removed) => ({ removed })),
    ...sync.applied.map((applied) => ({ applied })),
  ];
  const parts: SyncEntry[][] = [[]];
  let bytes = 0;
  for (const entry of entries) {
    const size = encodedBytesMax(entry);
    let part = parts.at(-1) ?? [];
    if (part.length >= limits.syncEntriesPerPart || (part.length > 0 && bytes + size > partBytesMax)) {
      part = [];
      parts.push(part);
      bytes = 0;
    }
    part.push(entry);
    bytes += size;
  }
  return parts.map((mine, part) => ({
    kind: 'stockSync',
    takenAt: sync.takenAt,
    part,
    parts: parts.length,
    products: mine.flatMap((entry) => ('product' in entry ? [entry.product] : [])),
    removed: mine.flatMap((entry) => ('removed' in entry ? [entry.removed] : [])),
    applied: mine.flatMap((entry) => ('applied' in entry ? [entry.applied] : [])),
  }));
}

/** At most three bytes per UTF-16 unit, and a head for each field. */
function encodedBytesMax(entry: SyncEntry): number {
  if ('product' in entry) return 3 * (entry.product.sku.length + entry.product.name.length) + 40;
  return 3 * ('removed' in entry ? entry.removed : entry.applied).length + 5;
}

async function sendParts(
  parts: readonly SyncPart[],
  decide: (command: Command) => Promise<StockAnswer>,
): Promise<'applied' | 'ignored' | 'gap'> {
  for (const part of parts) {
    const answer = await decide(part);
    if (answer.kind !== 'synced') throw unexpected('stockSync', answer);
    if (answer.outcome !== 'staged') return answer.outcome;
  }
  return 'gap';
}

function unexpected(command: Command['kind'], answer: StockAnswer): Error {
  return new Error(`the ledger answered ${command} with ${answer.kind}`);
}
