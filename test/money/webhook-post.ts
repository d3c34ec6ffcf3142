import { Outbox, type Delivery } from '../../node/payments/sandbox/outbox.ts';
import type { SandboxEvent } from '../../node/payments/sandbox/events.ts';
import type { Faults } from '../../node/payments/sandbox/index.ts';
import { signatureOf } from '../../node/payments/sandbox/signature.ts';
import type { OrderFlow } from '../../node/order-flow.ts';
import type { PaymentProvider } from '../../node/ports/payments.ts';
import type { Random } from '../../store/environment.ts';
import { worldWallClock, type Process } from '../sim/world/process.ts';
import type { Scheduler } from '../sim/world/scheduler.ts';

/**
 * The provider's webhooks on a simulated network: signed by the sandbox's outbox, checked by the node's own code, and
 * answered as its HTTP route would. Each attempt goes to the next node, as a load balancer would have it. Owns what was
 * sent and what was accepted.
 */
export interface Receiver {
  readonly process: Process;
  readonly flow: OrderFlow;
  readonly verify: PaymentProvider['verifyWebhook'];
}

export interface WebhookPostDependencies {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly faults: Faults;
  /** Who would answer, in turn; undefined where nobody listens. */
  readonly receiver: (turn: number) => Receiver | undefined;
  /** What becomes of a message that is the provider's; resolves with whether it was taken. */
  readonly take: (receiver: Receiver, message: Message) => Promise<boolean>;
}

export type Message = Exclude<ReturnType<PaymentProvider['verifyWebhook']>, undefined>;

export const webhookSecret = 'whsec_simulated';
const patienceMs = 1_500;
const latencyMsMax = 10;
const atOnceMax = 16;

export class WebhookPost {
  readonly #dependencies: WebhookPostDependencies;
  readonly #outbox: Outbox;
  readonly #refundsFailed = new Map<string, SandboxEvent>();
  readonly #misjudged: string[] = [];
  #underWay = 0;
  #turn = 0;

  constructor(dependencies: WebhookPostDependencies) {
    this.#dependencies = dependencies;
    this.#outbox = new Outbox({ secret: webhookSecret }, { faults: dependencies.faults });
  }

  /** Nothing waits to be sent, nothing to be answered. */
  get isIdle(): boolean {
    return this.#underWay === 0 && this.#outbox.report().waiting === 0;
  }

  /** Forged ones that were believed, and genuine ones that were not. */
  get misjudged(): readonly string[] {
    return this.#misjudged;
  }

  /** Payments of which a refund failed, and no node ever accepted word of it. */
  get untold(): ReadonlySet<string> {
    return new Set([...this.#refundsFailed.values()].map(({ intentId }) => intentId));
  }

  add(event: SandboxEvent): void {
    if (event.type === 'refund.failed') this.#refundsFailed.set(event.id, event);
    this.#outbox.add(event);
    this.#lookSoon();
  }

  #lookSoon(): void {
    const { scheduler } = this.#dependencies;
    const nextAt = this.#outbox.nextAt();
    if (nextAt === undefined) return;
    scheduler.after(nextAt - worldWallClock(scheduler), () => {
      const at = worldWallClock(scheduler);
      for (const delivery of this.#outbox.take(at, atOnceMax - this.#underWay)) this.#send(at, delivery);
    });
  }

  #send(at: number, delivery: Delivery): void {
    const { scheduler, random } = this.#dependencies;
    const latencyMs = (): number => 1 + random() * latencyMsMax;
    this.#underWay += 1;
    let isAnswered = false;
    const answer = (isAccepted: boolean): void => {
      if (isAnswered) return;
      isAnswered = true;
      this.#underWay -= 1;
      if (isAccepted) this.#refundsFailed.delete(delivery.event.id);
      this.#outbox.settled(worldWallClock(scheduler), delivery, isAccepted);
      this.#lookSoon();
    };
    scheduler.after(patienceMs, () => answer(false));
    const receiver = this.#dependencies.receiver((this.#turn += 1));
    // Nobody listens: it is refused at once, and tried again later.
    if (receiver === undefined) return answer(false);
    scheduler.after(latencyMs(), () => {
      receiver.process.run('input', () => {
        void this.#receive(at, delivery, receiver).then((isAccepted) => {
          if (!receiver.process.isDead) scheduler.after(latencyMs(), () => answer(isAccepted));
        });
      });
    });
  }

  async #receive(at: number, { event, body, signature }: Delivery, receiver: Receiver): Promise<boolean> {
    const message = receiver.verify(Buffer.from(body), signature);
    const isGenuine = body === event.body && signature === signatureOf(body, { secret: webhookSecret, at });
    if (isGenuine !== (message !== undefined)) this.#misjudged.push(`${event.type} ${event.id}`);
    return message !== undefined && this.#dependencies.take(receiver, message);
  }
}
