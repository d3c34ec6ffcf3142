import { REFUND_FAILED, type Money } from '../orders/money.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { PaymentMessage } from '../ports/payments.ts';
import type { MessageTaken } from '../ports/order-service.ts';
import type { OrderLog } from './order-log.ts';
import type { Views } from './ports.ts';

/**
 * Takes word of the payment provider, at whatever node it arrives. The home hears of it through the journal and asks
 * the provider how things stand; the message itself is believed for nothing but that there is something to ask.
 *
 * G1  A message is taken only once: its name is kept with the order, as the fact that wakes its home. It and what came of
 *     it are one set of facts, so there is no moment in which one of them is there without the other.
 * G2  Only what may change anything is kept, and at most `MESSAGES_MAX` per order: a flood does not grow the journal. What
 *     is not kept is not lost: whoever waits for the provider asks by itself, if later.
 * G3  Taken means on this node's disk. Were it lost with it, the home would ask all the same. Word of a payment that nobody
 *     knows is the only hint that there will ever be: a majority has it before the provider hears that it was taken.
 */
const MESSAGES_MAX = 32;

/** Rejects with JournalError when it can not be kept: the provider will send it again. */
export async function takeMessage(
  message: PaymentMessage,
  { views, log }: { readonly views: Pick<Views, 'get'>; readonly log: OrderLog },
): Promise<MessageTaken> {
  const { eventId, type: eventType, orderId, intent, attempt } = message;
  const folded = orderId === undefined ? undefined : await views.get(orderId);
  // Not ours, or forgotten; one that is still on its way from another node has a home that asks by itself.
  if (folded === undefined) return 'unknown';
  if (folded.money.messages.has(eventId)) return 'repeated';
  if (!isNews(folded, message) || folded.money.messages.size >= MESSAGES_MAX) return 'ignored';
  const fact = {
    type: 'paymentNotified',
    data: {
      eventId,
      eventType,
      ...(intent === undefined ? {} : { intent }),
      ...(attempt === undefined ? {} : { attempt }),
    },
  } as const;
  await log.append(folded, fact, isOnlyHint(folded.money, intent) ? 'quorum' : 'local');
  return 'kept';
}

/** Whether this order's money may be otherwise than is known here. */
export function isNews({ money }: FoldedOrder, { type, intent }: PaymentMessage): boolean {
  const { status, own, strays } = money;
  if (isOnlyHint(money, intent)) return true;
  if (type === REFUND_FAILED) return true;
  const isAwaited =
    status === 'requested' ||
    status === 'action_required' ||
    status === 'refund_pending' ||
    status === 'refund_failed';
  return isAwaited ? intent === undefined || own === undefined || own.intent === intent : strays.length > 0;
}

function isOnlyHint({ known, own }: Money, intent: string | undefined): boolean {
  return intent !== undefined && own !== undefined && !known.has(intent);
}
