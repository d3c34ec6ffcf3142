import { promiseOf } from './stock-state.ts';
import type { OrderRecord, Product } from './stock-state.ts';

/**
 * Counts what is held and sold of each SKU again, from the order records, and compares it with what the products
 * say. For whoever reads all of them anyway: a snapshot that is taken or restored.
 */
export class Recount {
  readonly #units = { held: new Map<string, number>(), sold: new Map<string, number>() };
  readonly #products: Pick<Product, 'sku' | 'held' | 'sold'>[] = [];

  order({ state, lines }: Pick<OrderRecord, 'state' | 'lines'>): void {
    const promise = promiseOf(state);
    if (promise === undefined) return;
    const units = this.#units[promise];
    for (const { sku, quantity } of lines) units.set(sku, (units.get(sku) ?? 0) + quantity);
  }

  product({ sku, held, sold }: Pick<Product, 'sku' | 'held' | 'sold'>): void {
    this.#products.push({ sku, held, sold });
  }

  /** Once all were seen: the sum, over all SKUs, of how far the products are off. */
  residual(): number {
    const { held, sold } = this.#units;
    let residual = 0;
    for (const product of this.#products) {
      residual += Math.abs(product.held - (held.get(product.sku) ?? 0));
      residual += Math.abs(product.sold - (sold.get(product.sku) ?? 0));
      held.delete(product.sku);
      sold.delete(product.sku);
    }
    // What is left was promised of a product that is not there.
    for (const units of held.values()) residual += units;
    for (const units of sold.values()) residual += units;
    return residual;
  }
}
