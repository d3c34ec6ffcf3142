import { describe, expect, it } from 'vitest';
import { CatalogError, loadCatalog, parseCatalog } from '../../node/reconcilers/catalog.ts';

const heading = 'sku,name,price_minor,currency,on_hand';

function mistakesOf(text: string): readonly string[] {
  try {
    parseCatalog(text, 'shop.csv');
  } catch (error) {
    if (!(error instanceof CatalogError)) throw error;
    return error.mistakes.map(({ line, column, reason }) => `${line} ${column ?? '-'}: ${reason}`);
  }
  return [];
}

describe('a catalogue file', () => {
  it('gives its products, quoted fields, byte order mark and blank lines included', () => {
    const text = `\ufeff${heading}\r\nA-1,"Cup, ""blue""",1250,EUR,5\r\n\r\nB, Tee ,0,USD,0\r\n`;
    expect(parseCatalog(text, 'shop.csv')).toEqual([
      { sku: 'A-1', name: 'Cup, "blue"', unitPrice: 1250, currency: 'EUR', onHand: 5 },
      { sku: 'B', name: 'Tee', unitPrice: 0, currency: 'USD', onHand: 0 },
    ]);
  });

  it('may give a product rules of its own, and leave them out', () => {
    const rows = ['A,Cup,100,EUR,5,60,2', 'B,Tee,100,EUR,5,,', 'C,Pot,100,EUR,5,604800,'];
    const [first, ...others] = parseCatalog(
      [`${heading},hold_seconds,max_per_order`, ...rows].join('\n'),
      'f',
    );
    expect(first).toMatchObject({ holdSeconds: 60, maxPerOrder: 2 });
    expect(others.map(({ holdSeconds, maxPerOrder }) => [holdSeconds, maxPerOrder])).toEqual([
      [undefined, undefined],
      [604_800, undefined],
    ]);
    expect(mistakesOf(`${heading},max_per_order,hold_seconds\nA,Cup,100,EUR,5,0,604801`)).toEqual([
      '2 hold_seconds: "604801" is not a whole number from 1 to 604800',
      '2 max_per_order: "0" is not a whole number from 1 to 2147483647',
    ]);
  });

  it('has its columns in any order', () => {
    expect(parseCatalog('on_hand,currency,sku,price_minor,name\n5,EUR,A,100,Cup', 'f')).toMatchObject([
      { sku: 'A', unitPrice: 100, onHand: 5 },
    ]);
  });

  it('is told all of its mistakes at once, each with line and column', () => {
    const rows = [
      'A,Cup,100,EUR,5',
      'A,Cup again,100,EUR,5',
      ',No sku,100,EUR,5',
      'C,Half,1.5,EUR,-2',
      'D,"Over',
      'two lines",100,euro,5',
      'E,,99999999999,EUR,1e3',
    ];
    expect(mistakesOf([heading, ...rows].join('\n'))).toEqual([
      '3 sku: A was listed before, on line 2',
      '4 sku: must have 1 to 64 characters',
      '5 price_minor: "1.5" is not a whole number',
      '5 on_hand: -2 is negative',
      '7 currency: "euro" is not an ISO 4217 code such as EUR',
      '8 name: must have 1 to 512 characters',
      '8 price_minor: 99999999999 is more than 2147483647',
      '8 on_hand: "1e3" is not a whole number',
    ]);
  });

  it('is refused when a row has too few fields, a column is missing, or nothing is listed', () => {
    expect(mistakesOf(`${heading}\nA,Cup,100`)).toEqual([expect.stringMatching(/^2 -: .*length/)]);
    expect(mistakesOf('sku,name,price,currency,on_hand\nA,Cup,100,EUR,5')).toEqual([
      '1 price_minor: missing',
      expect.stringContaining('1 -: unexpected column "price"'),
    ]);
    expect(mistakesOf(`${heading}\n`)).toEqual(['1 -: the file lists no products']);
    expect(mistakesOf('')).toEqual(['1 -: the file lists no products']);
  });

  it('names file, line and column in its message', () => {
    expect(() => parseCatalog(`${heading}\nA,Cup,x,EUR,5`, 'shop.csv')).toThrow(
      'shop.csv:2 price_minor: "x"',
    );
  });

  it('ships with the program: one unit of something, 100,000 of something, one product in another currency', async () => {
    const products = await loadCatalog(new URL('../../deploy/catalog.csv', import.meta.url).pathname);
    expect(products.length).toBeGreaterThanOrEqual(20);
    expect(products.filter(({ onHand }) => onHand === 1)).toHaveLength(1);
    expect(products.some(({ onHand }) => onHand >= 100_000)).toBe(true);
    expect(products.filter(({ currency }) => currency !== 'EUR')).toHaveLength(1);
  });
});
