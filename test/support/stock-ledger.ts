import type { Ledger } from '../../store/ledger/port.ts';
import { createLedger } from '../../store/ledger/ledger.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import type { VirtualClock } from './virtual-clock.ts';
import { testEnvironment } from './environment.ts';

/** The real stock machine behind a log of one: commands are decided at once, stamped by the virtual clock. */
export async function stockLedger(options: {
  readonly clock: VirtualClock;
  readonly products: readonly { readonly sku: string; readonly onHand: number }[];
}): Promise<Ledger> {
  const { clock } = options;
  const machine = createStockMachine();
  const ledger = createLedger(
    { commandTimeoutMs: 1_000 },
    {
      environment: testEnvironment({ clock, random: () => 0.5 }),
      machine,
      log: {
        submit: async (command) => {
          const due = machine.due(clock.now());
          if (due !== undefined) machine.apply(clock.now(), due);
          return machine.apply(clock.now(), command);
        },
        status: () => ({
          role: 'leader',
          leader: 'n1',
          term: 1,
          lastIndex: 1,
          commitIndex: 1,
          appliedIndex: 1,
          match: {},
        }),
        freshness: () => ({ linearizable: true, asOf: clock.now() }),
        onLeadership: (handler) => {
          handler(true);
          return () => undefined;
        },
      },
    },
  );
  await ledger.sync({
    takenAt: clock.now(),
    products: options.products.map(({ sku, onHand }) => ({
      sku,
      onHand,
      name: sku,
      unitPrice: 600,
      currency: 'EUR',
    })),
    removed: [],
    applied: [],
  });
  return ledger;
}
