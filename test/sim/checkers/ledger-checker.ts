import type { AssembledStore } from '../../../store/assemble.ts';
import type { NodeId } from '../../../store/environment.ts';
import { decodeCommand, encodeCommand, type Command } from '../../../store/ledger/commands.ts';
import { decodeBatch } from '../../../store/ledger/replica-messages.ts';
import { LedgerModel } from '../../ledger/model.ts';
import type { Violations } from '../violations.ts';
import type { DecidedEntry } from './raft-checker.ts';

/**
 * Whether the ledger is linearizable, with its own log as the witness: each answer must be the one that the executable
 * model gives to some occurrence of the command in the decided log, proposed after the question was asked and decided
 * before the answer came. Commands that got no answer may have taken effect or not. The stock figures of every node
 * must be those of the model at the same place of the log.
 */
interface Occurrence {
  readonly entry: DecidedEntry;
  readonly answer: string;
}

interface Question {
  readonly node: NodeId;
  readonly command: Command;
  readonly key: string;
  readonly askedAt: number;
  readonly answer: string;
  readonly answeredAt: number;
}

/** How an order ended, by the ledger. */
export type Fate = { readonly kind: 'committed' } | { readonly kind: 'released'; readonly reason: string };

type Ledger = AssembledStore['ledger'];

/** A node may lag this many entries behind and still have its figures compared. */
const figuresKept = 400;

export class LedgerChecker {
  readonly #violations: Violations;
  readonly #now: () => number;
  readonly #model = new LedgerModel();
  readonly #occurrences = new Map<string, Occurrence[]>();
  readonly #fates = new Map<string, Fate>();
  /** By log index. */
  readonly #figures = new Map<number, string>();
  #stamp = 0;
  #answered: Question[] = [];
  /** Units committed, ever, by SKU. */
  readonly sold = new Map<string, number>();
  answers = 0;

  constructor(dependencies: { readonly violations: Violations; readonly now: () => number }) {
    this.#violations = dependencies.violations;
    this.#now = dependencies.now;
  }

  /** How the decided log says that an order ended; undefined while it does not. */
  fateOf(orderId: string): Fate | undefined {
    return this.#fates.get(orderId);
  }

  /** Orders created before it are forgotten, by the decided log. */
  get horizon(): number {
    return this.#model.horizon;
  }

  /** Units held for orders, by the model. */
  held(sku: string): number {
    return this.#model.held(sku);
  }

  decided(entry: DecidedEntry): void {
    const batch = entry.kind === 'command' ? decodeBatch(entry.data) : undefined;
    if (batch !== undefined) {
      this.#stamp = Math.max(this.#stamp, batch.at);
      for (const bytes of batch.commands) this.#apply(entry, bytes);
    }
    this.#figures.set(entry.index, figuresOf(this.#model));
    this.#figures.delete(entry.index - figuresKept);
  }

  /** The ledger as the order flow gets it: what is asked and answered is noted. */
  between(node: NodeId, ledger: Ledger): Ledger {
    const ask = async <Answer>(command: Command, decide: () => Promise<Answer>): Promise<Answer> => {
      const askedAt = this.#now();
      const answer = await decide();
      const key = keyOf(encodeCommand(command));
      this.#answered.push({
        node,
        command,
        key,
        askedAt,
        answer: JSON.stringify(answer),
        answeredAt: this.#now(),
      });
      return answer;
    };
    return {
      ...ledger,
      hold: (hold) => ask({ kind: 'hold', ...hold }, () => ledger.hold(hold)),
      commit: (order) => ask({ kind: 'commit', ...order }, () => ledger.commit(order)),
      release: (order) => ask({ kind: 'release', ...order }, () => ledger.release(order)),
      claim: (order) => ask({ kind: 'claim', ...order }, () => ledger.claim(order)),
      forget: (before) =>
        ask({ kind: 'forget', before }, async () => {
          const { horizon } = await ledger.forget(before);
          return { kind: 'horizon', horizon };
        }),
    };
  }

  /** After anything has happened: what was answered meanwhile is in the log by now, or was made up. */
  checkAnswers(): void {
    const answered = this.#answered;
    if (answered.length === 0) return;
    this.#answered = [];
    for (const question of answered) this.#checkAnswer(question);
  }

  checkFigures(node: NodeId, ledger: Ledger): void {
    const { appliedIndex } = ledger.status();
    const expected = this.#figures.get(appliedIndex);
    if (expected === undefined) return;
    const stocks = ledger.stocks();
    const found = JSON.stringify(stocks.map(({ sku, onHand, sold }) => [sku, onHand, sold]).toSorted(bySku));
    if (found !== expected) {
      this.#violations.report('stock figures', `${node} at ${appliedIndex}: ${found}, not ${expected}`);
    }
    for (const { sku, onHand, sold, held, available } of stocks) {
      if (available + held + sold === onHand && held >= 0 && sold >= 0) continue;
      this.#violations.report(
        'stock figures',
        `${node}: ${sku} has ${available} available, ${held} held, ${sold} sold of ${onHand}`,
      );
    }
    if (ledger.conservationResidual() !== 0) {
      this.#violations.report('stock figures', `${node}: units were made or lost`);
    }
  }

  #apply(entry: DecidedEntry, bytes: Uint8Array): void {
    const command = decodeCommand(bytes);
    // The model needs no sweep: what is due is expired already.
    if (command.kind === 'malformed' || command.kind === 'expire') return;
    const answer = this.#model.apply(this.#stamp, command);
    const key = keyOf(bytes);
    const occurrences = this.#occurrences.get(key) ?? [];
    occurrences.push({ entry, answer: JSON.stringify(answer) });
    this.#occurrences.set(key, occurrences);
    if ('orderId' in command) this.#noteFate(command);
  }

  #noteFate({ orderId }: { readonly orderId: string }): void {
    const order = this.#model.orders.find(({ id }) => id === orderId);
    if (order?.truth?.kind !== 'committed' && order?.truth?.kind !== 'released') return;
    if (this.#fates.get(orderId) === undefined && order.truth.kind === 'committed') {
      for (const { sku, quantity } of order.lines) this.sold.set(sku, (this.sold.get(sku) ?? 0) + quantity);
    }
    this.#fates.set(orderId, order.truth);
  }

  #checkAnswer({ node, command, key, askedAt, answer, answeredAt }: Question): void {
    this.answers += 1;
    const occurrences = this.#occurrences.get(key) ?? [];
    const fits = occurrences.some(
      (occurrence) =>
        occurrence.answer === answer &&
        occurrence.entry.proposedAt >= askedAt &&
        occurrence.entry.decidedAt <= answeredAt,
    );
    if (fits) return;
    const said = occurrences.map((one) => `${one.answer} at ${one.entry.index}`).join(', ');
    this.#violations.report(
      'ledger history',
      `${node} was told ${answer} to ${JSON.stringify(command)}; the log says ${said === '' ? 'nothing' : said}`,
    );
  }
}

function figuresOf(model: LedgerModel): string {
  return JSON.stringify(
    model
      .levels()
      .map(({ sku, onHand, sold }) => [sku, onHand, sold])
      .toSorted(bySku),
  );
}

function bySku([one]: readonly unknown[], [other]: readonly unknown[]): number {
  return String(one) < String(other) ? -1 : 1;
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
