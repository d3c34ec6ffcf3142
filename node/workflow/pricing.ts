import type { Environment } from '../../store/environment.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import type { FunctionSettings, HttpInput } from '../orders/effects.ts';
import type { OrderLine } from '../orders/order.ts';
import type { Deadline } from '../ports/deadline.ts';
import { FunctionError, type Decision, type FunctionHost } from '../ports/functions.ts';
import type { Answer, PlaceOrder } from '../ports/order-service.ts';
import { tooLate } from './refusals.ts';

/** Has the register function price an order or refuse it, and holds the answer against the catalogue. */

export interface Accepted {
  readonly decision: Decision;
  readonly currency: string;
  readonly total: number;
  readonly lines: readonly OrderLine[];
}

export interface PricingDependencies {
  readonly environment: Environment;
  readonly ledger: Pick<Ledger, 'stock' | 'lastSyncAt'>;
  readonly functions: Pick<FunctionHost, 'callHttp'>;
}

export async function askFunction(
  orderId: string,
  asked: PlaceOrder,
  settings: FunctionSettings,
  deadline: Deadline,
  { environment, ledger, functions }: PricingDependencies,
): Promise<Answer<Accepted>> {
  if (ledger.lastSyncAt() === 0) {
    return {
      ok: false,
      refusal: {
        code: 'CATALOG_UNAVAILABLE',
        detail: 'no catalogue has been read from the system of record yet',
        retryAfterSeconds: 2,
      },
    };
  }
  const { customer, currency, lines, payment } = asked;
  const input: HttpInput = {
    abi: 1,
    kind: 'http',
    at: environment.clock.now(),
    orderId,
    request: { method: 'POST', path: '/orders', body: { customer, currency, lines, payment } },
    products: knownProducts(lines, ledger),
    settings,
  };
  let decision: Decision;
  try {
    decision = await functions.callHttp('POST /orders', input, deadline);
  } catch (error) {
    if (!(error instanceof FunctionError)) throw error;
    if (error.code === 'DEADLINE_EXCEEDED') return tooLate();
    environment.log.error(
      { orderId, code: error.code, detail: error.message },
      'the register function failed',
    );
    return error.code === 'FUNCTION_QUEUE_FULL'
      ? {
          ok: false,
          refusal: { code: 'OVERLOADED', detail: 'too many requests are waiting', retryAfterSeconds: 1 },
        }
      : {
          ok: false,
          refusal: {
            code: 'FUNCTION_FAILED',
            detail: `${error.functionName}: ${error.code}`,
            retryAfterSeconds: 1,
          },
        };
  }
  const [effect] = decision.effects;
  if (effect?.type === 'reply.refuse') {
    const { status, code, detail, field } = effect;
    return { ok: false, refusal: { code: 'REFUSED_BY_FUNCTION', status, functionCode: code, detail, field } };
  }
  const wrong =
    effect?.type === 'order.register'
      ? mispriced(asked, effect)
      : 'it returned neither an order nor a refusal';
  if (effect?.type !== 'order.register' || wrong !== undefined) {
    environment.log.error(
      { orderId, function: decision.function, detail: wrong },
      'the register function broke an invariant',
    );
    return {
      ok: false,
      refusal: {
        code: 'FUNCTION_FAILED',
        detail: `${decision.function}: ${wrong ?? ''}`,
        retryAfterSeconds: 1,
      },
    };
  }
  if (effect.total === 0) {
    const detail = 'this order would cost nothing, and no payment of 0 can be made';
    return { ok: false, refusal: { code: 'TOTAL_TOO_SMALL', detail, field: 'lines' } };
  }
  return {
    ok: true,
    value: { decision, currency: effect.currency, total: effect.total, lines: effect.lines },
  };
}

function knownProducts(lines: PlaceOrder['lines'], ledger: Pick<Ledger, 'stock'>): HttpInput['products'] {
  return [...new Set(lines.map(({ sku }) => sku))].flatMap((sku) => {
    const product = ledger.stock(sku);
    if (product === undefined) return [];
    const { name, unitPrice, currency, maxPerOrder } = product;
    return [{ sku, name, unitPrice, currency, ...(maxPerOrder === undefined ? {} : { maxPerOrder }) }];
  });
}

/** A function sets prices, but may not sell other goods than were asked for, nor charge another sum than it says. */
function mispriced(
  asked: PlaceOrder,
  priced: { readonly currency: string; readonly total: number; readonly lines: readonly OrderLine[] },
): string | undefined {
  if (priced.currency !== asked.currency) return `the order is in ${asked.currency}, not ${priced.currency}`;
  const same =
    priced.lines.length === asked.lines.length &&
    priced.lines.every(
      (line, index) => line.sku === asked.lines[index]?.sku && line.quantity === asked.lines[index].quantity,
    );
  if (!same) return 'its lines are not those asked for';
  const sum = priced.lines.reduce((total, line) => total + line.unitPrice * line.quantity, 0);
  if (!Number.isSafeInteger(sum) || sum !== priced.total || sum < 0)
    return `its total is ${priced.total}, its lines cost ${sum}`;
  return undefined;
}
