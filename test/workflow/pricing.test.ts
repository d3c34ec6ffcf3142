import { describe, expect, it } from 'vitest';
import { NO_DEADLINE } from '../../node/ports/deadline.ts';
import type { PlaceOrder } from '../../node/ports/order-service.ts';
import { askFunction } from '../../node/workflow/pricing.ts';
import { testEnvironment } from '../support/environment.ts';
import { honestFunctions } from '../support/honest-functions.ts';
import { seededRandom } from '../support/random.ts';
import { flowSettings } from '../support/flow-cluster.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const prices: Readonly<Record<string, number>> = { SAMPLE: 0, MUG: 600 };

async function price(...skus: readonly string[]) {
  const environment = testEnvironment({ clock: new VirtualClock(), random: seededRandom(1) });
  const asked: PlaceOrder = {
    customer: { id: 'c', email: 'a@b.c' },
    currency: 'EUR',
    lines: skus.map((sku) => ({ sku, quantity: 2 })),
    payment: { method: 'pm_card_visa' },
    waitMs: 0,
  };
  const ledger = {
    lastSyncAt: () => 1,
    stock: (sku: string) => ({
      sku,
      name: sku,
      unitPrice: prices[sku] ?? 0,
      currency: 'EUR',
      onHand: 9,
      sold: 0,
      held: 0,
      available: 9,
    }),
  };
  const answer = await askFunction('ord_1', asked, flowSettings, NO_DEADLINE, {
    environment,
    ledger,
    functions: honestFunctions(),
  });
  return { answer, lines: environment.lines };
}

describe('an order with free products', () => {
  it('is refused for good when it costs nothing', async () => {
    const { answer, lines } = await price('SAMPLE');
    expect(answer).toMatchObject({ ok: false, refusal: { code: 'TOTAL_TOO_SMALL', field: 'lines' } });
    expect(lines).toEqual([]);
  });

  it('is taken when something in it costs something', async () => {
    expect((await price('SAMPLE', 'MUG')).answer).toMatchObject({ ok: true, value: { total: 1_200 } });
  });
});
