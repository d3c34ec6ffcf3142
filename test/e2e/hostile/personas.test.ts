import { expect, it } from 'vitest';
import { methods } from '../support/sandbox-books.ts';
import { customerOf } from './personas.ts';
import type { Customer } from './personas.ts';

const assortment = { skus: ['A', 'B', 'C'], scarceSku: 'SCARCE' };
const crowd = (seed: number): readonly Customer[] =>
  Array.from({ length: 500 }, (_, index) => customerOf(index, { ...assortment, seed }));

it('sends the same customers for the same seed, and others for another', () => {
  expect(crowd(1)).toEqual(crowd(1));
  expect(crowd(1).map(({ wish }) => wish)).not.toEqual(crowd(2).map(({ wish }) => wish));
});

it('sends every kind of customer, some of whom want what is scarce', () => {
  const customers = crowd(3);
  const kinds = (of: (customer: Customer) => unknown): number => new Set(customers.map(of)).size;
  expect(kinds(({ key }) => key)).toBe(500);
  expect(kinds(({ manner }) => manner)).toBe(5);
  expect(kinds(({ authentication }) => authentication)).toBe(3);
  expect(kinds(({ wish }) => wish.method)).toBe(Object.keys(methods).length);
  const scarce = customers.filter(({ wish }) => wish.lines.some(({ sku }) => sku === 'SCARCE')).length;
  expect(scarce).toBeGreaterThan(40);
  expect(scarce).toBeLessThan(120);
});

it('puts each product on one line of an order', () => {
  for (const { wish } of crowd(4))
    expect(new Set(wish.lines.map(({ sku }) => sku)).size).toBe(wish.lines.length);
});
