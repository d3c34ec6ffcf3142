import { demandInterest, type Deadline } from '../ports/deadline.ts';
import type { AdjustmentAnswer, StockAdjustment } from '../ports/stock-adjustments.ts';
import { SystemOfRecordUnavailable } from '../ports/system-of-record.ts';
import { needOffer } from './http-book.ts';
import { RefusedByHttp } from './http-line.ts';
import type { HttpLine } from './http-line.ts';
import { adjustmentAnswer, sentAdjustment } from './http-wire.ts';

/**
 * Changes of stock that no order made, in a service over HTTP that offers them. The service decides, and makes each id
 * once (R15); an answer counts only when it names the id that was sent, as with outcomes (W4).
 */
export async function adjustOverHttp(
  line: HttpLine,
  adjustment: StockAdjustment,
  deadline: Deadline,
): Promise<AdjustmentAnswer> {
  demandInterest(deadline);
  await needOffer(line, 'adjustments');
  // The last moment: what is sent may be made.
  demandInterest(deadline);
  try {
    const answer = await line.send('/adjustments', adjustmentAnswer, sentAdjustment(adjustment));
    if (answer.id !== adjustment.id)
      throw new SystemOfRecordUnavailable('its answer is about another adjustment');
    if (answer.result === 'refused') return refused(answer.code, answer.detail);
    const { at, onHand, replayed } = answer;
    return { kind: 'adjusted', adjustment, at, onHand, replayed };
  } catch (error) {
    if (!(error instanceof RefusedByHttp)) throw error;
    return refused(error.code, error.detail);
  }
}

/** A service may have rules of its own, such as who may adjust what: those have one code here, and theirs in the words. */
function refused(code: string, detail: string): AdjustmentAnswer {
  switch (code) {
    case 'SKU_NOT_FOUND':
    case 'ON_HAND_SHORT':
    case 'IDEMPOTENCY_KEY_REUSED':
      return { kind: 'refused', code, detail };
    default:
      return { kind: 'refused', code: 'ADJUSTMENT_REFUSED', detail: `${code}: ${detail}` };
  }
}
