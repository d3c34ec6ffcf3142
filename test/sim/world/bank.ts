import type { Random } from '../../../store/environment.ts';
import type { PaymentAnswer, PaymentRequest, Payments } from '../../../node/ports/payments.ts';
import type { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * The payment provider: one for the whole world, reached by each node over a line that is slow, loses questions and
 * loses answers. Owns the money. As with the real one, what is asked for under one idempotency key happens once, and
 * its first answer is given again; under another key it would happen again, which the checkers see.
 *
 * Provider code (SDK, breaker, limits) is not part of the simulation: it is tested against the sandbox server.
 */
export interface BankPace {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  /** Probabilities, 0 to 1. */
  readonly questionLost: number;
  readonly answerLost: number;
  /** The question reaches the provider only after its sender has given up. */
  readonly late: number;
}

export type BankFault = 'paymentLost' | 'paymentAnswerLost' | 'paymentLate' | 'paymentDown';

interface Payment {
  readonly intent: string;
  status: 'refused' | 'authorized' | 'captured' | 'voided' | 'refunded';
}

const patienceMs = 800;

export class Bank {
  pace: BankPace;
  isDown = false;
  /** Programs that it does not hear. */
  readonly unheard = new Set<string>();
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #onFault: (kind: BankFault) => void;
  readonly #onMove: (orderId: string, what: string) => void;
  readonly #onAsked: (orderId: string, what: string, by: string) => void;
  /** First answers, by idempotency key. */
  readonly #answers = new Map<string, PaymentAnswer>();
  readonly #payments = new Map<string, Payment[]>();

  constructor(
    options: { readonly pace: BankPace },
    dependencies: {
      readonly scheduler: Scheduler;
      readonly random: Random;
      readonly onFault: (kind: BankFault) => void;
      /** Money moved. */
      readonly onMove: (orderId: string, what: string) => void;
      /** A program asks, whatever becomes of its question. */
      readonly onAsked: (orderId: string, what: string, by: string) => void;
    },
  ) {
    this.pace = options.pace;
    this.#scheduler = dependencies.scheduler;
    this.#random = dependencies.random;
    this.#onFault = dependencies.onFault;
    this.#onMove = dependencies.onMove;
    this.#onAsked = dependencies.onAsked;
  }

  /** The provider as one program reaches it. */
  lineOf(process: Process): Payments {
    const ask = (orderId: string, what: string, decide: () => PaymentAnswer): Promise<PaymentAnswer> => {
      if (!process.isDead) this.#onAsked(orderId, what, process.id);
      return this.#ask(process, decide);
    };
    return {
      pay: (request) =>
        ask(request.orderId, 'pay', () =>
          this.#once(keyOf('pay', request), () => this.#pay(request.orderId, request)),
        ),
      capture: (request) =>
        ask(request.orderId, 'capture', () =>
          this.#once(keyOf('capture', request), () => this.#capture(request.orderId)),
        ),
      reverse: (request) => ask(request.orderId, 'reverse', () => this.#reverse(request.orderId)),
      cancel: (request) => ask(request.orderId, 'cancel', () => this.#cancel(request.orderId)),
      lookUp: (intent) => ask(orderIdOf(intent), 'lookUp', () => this.#statusOf(orderIdOf(intent))),
      lookUpRefund: ({ intent }) =>
        ask(orderIdOf(intent), 'lookUpRefund', () => this.#statusOf(orderIdOf(intent))),
      find: ({ orderId }) =>
        ask(orderId, 'find', () =>
          this.#of(orderId).length === 0 ? { kind: 'absent' } : this.#statusOf(orderId),
        ),
    };
  }

  /** How often money of this order was set aside, and how often it was taken. */
  timesCharged(orderId: string): number {
    return this.#of(orderId).filter(({ status }) => status !== 'refused').length;
  }

  /** What the shop has of this customer's money now. */
  keeps(orderId: string): 'nothing' | 'authorization' | 'money' {
    const statuses = this.#of(orderId).map(({ status }) => status);
    if (statuses.includes('captured')) return 'money';
    return statuses.includes('authorized') ? 'authorization' : 'nothing';
  }

  #ask(process: Process, decide: () => PaymentAnswer): Promise<PaymentAnswer> {
    return new Promise((resolve) => {
      if (process.isDead) return;
      const { clock } = process;
      if (this.isDown || this.unheard.has(process.id)) {
        this.#onFault('paymentDown');
        clock.after(5, () => {
          resolve({ kind: 'postponed', reason: 'no connection', retryAfterMs: 100 });
        });
        return;
      }
      const cancelPatience = clock.after(patienceMs, () => {
        resolve({ kind: 'unknown', reason: 'no answer' });
      });
      const { questionLost, answerLost, late } = this.pace;
      const chance = this.#random();
      if (chance < questionLost) {
        this.#onFault('paymentLost');
        return;
      }
      const isLate = chance < questionLost + late;
      if (isLate) this.#onFault('paymentLate');
      // Whatever becomes of the asking program, the question is on its way.
      this.#scheduler.after(isLate ? patienceMs * (1 + 2 * this.#random()) : this.#latencyMs(), () => {
        const answer = decide();
        if (this.#random() < answerLost) {
          this.#onFault('paymentAnswerLost');
          return;
        }
        this.#scheduler.after(this.#latencyMs(), () => {
          process.run('input', () => {
            cancelPatience();
            resolve(answer);
          });
        });
      });
    });
  }

  #once(key: string, decide: () => PaymentAnswer): PaymentAnswer {
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const answer = decide();
    this.#answers.set(key, answer);
    return answer;
  }

  #pay(orderId: string, request: { readonly method: string; readonly capture: string }): PaymentAnswer {
    const payments = this.#of(orderId);
    const intent = `pi_${orderId}_${payments.length + 1}`;
    const isRefused = request.method === 'pm_card_chargeDeclined';
    const status = isRefused ? 'refused' : request.capture === 'immediate' ? 'captured' : 'authorized';
    this.#payments.set(orderId, [...payments, { intent, status }]);
    this.#onMove(orderId, status);
    return isRefused
      ? { kind: 'refused', code: 'card_declined', intent }
      : ({ kind: status, intent } as PaymentAnswer);
  }

  #capture(orderId: string): PaymentAnswer {
    const payment = this.#of(orderId).at(-1);
    if (payment?.status === 'authorized') {
      payment.status = 'captured';
      this.#onMove(orderId, 'captured');
    }
    if (payment?.status === 'captured') return { kind: 'captured', intent: payment.intent };
    return { kind: 'refused', code: 'payment_intent_unexpected_state', intent: payment?.intent ?? '' };
  }

  #cancel(orderId: string): PaymentAnswer {
    for (const payment of this.#of(orderId)) {
      if (payment.status !== 'authorized') continue;
      payment.status = 'voided';
      this.#onMove(orderId, payment.status);
    }
    return this.#statusOf(orderId);
  }

  #reverse(orderId: string): PaymentAnswer {
    for (const payment of this.#of(orderId)) {
      if (payment.status !== 'authorized' && payment.status !== 'captured') continue;
      payment.status = payment.status === 'authorized' ? 'voided' : 'refunded';
      this.#onMove(orderId, payment.status);
    }
    return this.#statusOf(orderId);
  }

  #statusOf(orderId: string): PaymentAnswer {
    const payment = this.#of(orderId).at(-1);
    const intent = payment?.intent ?? '';
    switch (payment?.status) {
      case 'authorized':
      case 'captured':
      case 'voided':
        return { kind: payment.status, intent };
      case 'refunded':
        return { kind: 'refunded', intent, refund: `re_${orderId}` };
      case 'refused':
      case undefined:
        return { kind: 'refused', code: 'card_declined', intent };
    }
  }

  #of(orderId: string): readonly Payment[] {
    return this.#payments.get(orderId) ?? [];
  }

  #latencyMs(): number {
    const { latencyMsMin, latencyMsMax } = this.pace;
    return latencyMsMin + this.#random() * (latencyMsMax - latencyMsMin);
  }
}

/** As the real adapter derives it: every node that asks sends the same one. */
function keyOf(operation: string, { orderId, attempt }: PaymentRequest): string {
  return `${orderId}:${operation}:${attempt}`;
}

function orderIdOf(intent: string): string {
  return intent.split('_').slice(1, -1).join('_');
}
