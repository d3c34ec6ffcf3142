import { Answer, HttpInput, Line, Product, Settings } from 'sdk';

/** An order may cost up to 10^12 minor units, far below where numbers stop being exact (2^53). */
const TOTAL_MAX: i64 = 1_000_000_000_000;

/** A checkout came in: price it from the catalogue, or refuse it and name the field. */
export function register(): void {
  const answer = new Answer();
  price(HttpInput.read(), answer);
  answer.send();
}

function price(input: HttpInput, answer: Answer): void {
  const products = bySku(input.products);
  const wanted = new Map<string, i64>();
  const lines: Line[] = [];
  let total: i64 = 0;

  for (let i = 0; i < input.lines.length; i++) {
    const sku = input.lines[i].sku;
    const quantity = input.lines[i].quantity;
    const field = 'lines[' + i.toString() + ']';

    if (!products.has(sku)) {
      return answer.refuse(422, 'UNKNOWN_SKU', field + '.sku', 'there is no product ' + sku);
    }

    const product = products.get(sku);
    // Several lines of one product count together.
    const units = (wanted.has(sku) ? wanted.get(sku) : 0) + quantity;
    const limit = limitOf(product, input.settings);
    if (units > limit) {
      const detail = 'an order may have at most ' + limit.toString() + ' of ' + sku;
      return answer.refuse(422, 'QUANTITY_LIMIT', field + '.quantity', detail);
    }
    wanted.set(sku, units);
    if (product.currency != input.currency) {
      const detail = sku + ' is sold in ' + product.currency + ', not in ' + input.currency;
      return answer.refuse(422, 'WRONG_CURRENCY', 'currency', detail);
    }
    // Compared by division: the product of the two may be more than an i64 holds.
    if (product.unitPrice > 0 && quantity > (TOTAL_MAX - total) / product.unitPrice) {
      const detail = 'an order may cost at most ' + TOTAL_MAX.toString() + ' minor units';
      return answer.refuse(422, 'TOTAL_TOO_LARGE', 'lines', detail);
    }
    total += product.unitPrice * quantity;

    const line = new Line();
    line.sku = sku;
    line.quantity = quantity;
    line.unitPrice = product.unitPrice;
    lines.push(line);
  }
  answer.registerOrder(input.currency, total, lines);
}

/** The stricter of the product's own limit and the shop's. */
function limitOf(product: Product, settings: Settings): i64 {
  return product.maxPerOrder > 0 ? min(product.maxPerOrder, settings.maxQuantity) : settings.maxQuantity;
}

function bySku(products: Product[]): Map<string, Product> {
  const map = new Map<string, Product>();
  for (let i = 0; i < products.length; i++) map.set(products[i].sku, products[i]);
  return map;
}
