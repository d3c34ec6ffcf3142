/** What the shop of the tests sells. */
export interface TestProduct {
  readonly sku: string;
  readonly unitPrice: number;
  readonly onHand: number;
}

export const currency = 'EUR';

/** Twenty products with plenty of each, priced 100 to 2,000. */
export const plenty: readonly TestProduct[] = Array.from({ length: 20 }, (_, index) => ({
  sku: `P-${String(index).padStart(2, '0')}`,
  unitPrice: (index + 1) * 100,
  onHand: 100_000,
}));

export function catalogCsv(products: readonly TestProduct[]): string {
  const rows = products.map(
    ({ sku, unitPrice, onHand }) =>
      `${sku},Product ${sku},${String(unitPrice)},${currency},${String(onHand)}`,
  );
  return ['sku,name,price_minor,currency,on_hand', ...rows, ''].join('\n');
}
