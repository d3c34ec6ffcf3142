import type { BookedOrder, Page, ProviderBook, SystemOfRecordBook } from '../../node/ports/books.ts';
import type { OrderFlow } from '../../node/order-flow.ts';
import { createDrift } from '../../node/reconcilers/drift/report.ts';
import { createJournalBook } from '../../node/views/journal-book.ts';
import type { AssembledStore } from '../../store/assemble.ts';
import type { Life } from '../sim/node.ts';
import type { ShopDatabase } from '../sim/world/shop-database.ts';

/** An order that was quiet for so long counts. */
export const settleMs = 500;

/** The drift report of a simulated node, over the same books as that of a real one. */
export interface ReporterDependencies {
  readonly life: Life;
  readonly store: AssembledStore;
  readonly flow: OrderFlow;
  readonly provider: ProviderBook;
  readonly shop: ShopDatabase;
}

/** Every difference, by its code and what it is about. Rejects on a node that does not lead. */
export async function reportDrift(dependencies: ReporterDependencies): Promise<readonly string[]> {
  const { life, store, flow, provider, shop } = dependencies;
  const line = shop.lineOf(life.process);
  const drift = createDrift(
    { isOneZone: true, settleMs, secondLookAfterMs: 500 },
    {
      environment: life.environment,
      journal: createJournalBook({
        views: flow.views,
        horizon: () => flow.retention.horizon(),
        catchUp: () => store.journal.covers(1_000),
      }),
      ledger: store.ledger,
      mayHaveForgotten: async () => true,
      provider,
      record: bookOf(shop),
      readInventory: (unappliedSales) => line.readInventory(unappliedSales),
      readInbound: async () => {
        await flow.reconcilers.run('inbound');
      },
    },
  );
  const { differences, compared } = await drift.report({});
  if (compared.inFlight > 0) throw new Error(`${compared.inFlight} orders were not compared`);
  return differences.map(({ code, orderId, sku }) => `${code} ${orderId ?? sku ?? ''}`).toSorted();
}

function bookOf(shop: ShopDatabase): SystemOfRecordBook {
  const all = (): readonly BookedOrder[] =>
    [...shop.applied.values()]
      .map(({ record: { order, outcome } }) => {
        const { id, createdAt, currency, total, lines } = order;
        return { orderId: id, createdAt, outcome, currency, total, lines };
      })
      .toSorted((one, other) => other.createdAt - one.createdAt);
  return {
    page: async () => ({ rows: all() }) satisfies Page<BookedOrder>,
    byIds: async (orderIds) => all().filter(({ orderId }) => orderIds.includes(orderId)),
    inventory: async () =>
      [...shop.products.values()].map(({ sku, onHand, opening, restocked }) => ({
        sku,
        onHand,
        opening,
        changed: restocked,
        sold: all()
          .filter(({ outcome }) => outcome === 'fulfilled')
          .flatMap(({ lines }) => lines)
          .reduce((sum, line) => (line.sku === sku ? sum + line.quantity : sum), 0),
      })),
  };
}
