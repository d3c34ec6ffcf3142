import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FairQueue } from '../../node/functions/fair-queue.ts';

const everybody = () => true;

it('gives functions turns, and keeps the order of each', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 4 }), { maxLength: 60 }), (owners) => {
      const queue = new FairQueue<readonly [owner: number, index: number]>({
        itemsMax: 100,
        perFunctionMax: 100,
      });
      owners.forEach((owner, index) => expect(queue.offer(owner, [owner, index])).toBe(true));
      const waiting = new Map(
        Map.groupBy(
          owners.map((owner, index) => [owner, index] as const),
          ([owner]) => owner,
        ),
      );
      const sinceTurn = new Map<number, number>();
      while (queue.size > 0) {
        const taken = queue.take(everybody);
        const [owner = -1] = taken ?? [];
        expect(taken).toEqual(waiting.get(owner)?.shift());
        if (waiting.get(owner)?.length === 0) waiting.delete(owner);
        sinceTurn.set(owner, 0);
        for (const other of waiting.keys()) {
          if (other === owner) continue;
          sinceTurn.set(other, (sinceTurn.get(other) ?? 0) + 1);
          // Q1: nobody is passed over more often than there are others.
          expect(sinceTurn.get(other)).toBeLessThanOrEqual(4);
        }
      }
      expect(waiting.size).toBe(0);
    }),
  );
});

it('lets go of what need not be done, and gives its room to others', () => {
  const queue = new FairQueue<string>({ itemsMax: 3, perFunctionMax: 2 });
  for (const item of ['a', 'b']) queue.offer(0, item);
  queue.offer(1, 'd');
  expect([queue.remove(0, 'a'), queue.remove(0, 'a'), queue.remove(1, 'b')]).toEqual([true, false, false]);
  expect([queue.size, queue.offer(0, 'c')]).toEqual([2, true]);
  expect(queue.remove(1, 'd')).toBe(true);
  expect([queue.take(everybody), queue.take(everybody), queue.take(everybody)]).toEqual([
    'b',
    'c',
    undefined,
  ]);
});

it('is bounded in all and for each function, except for what comes back', () => {
  const queue = new FairQueue<string>({ itemsMax: 3, perFunctionMax: 2 });
  expect([queue.offer(0, 'a'), queue.offer(0, 'b'), queue.offer(0, 'c')]).toEqual([true, true, false]);
  expect([queue.offer(1, 'd'), queue.offer(2, 'e')]).toEqual([true, false]);
  queue.putBack(0, 'z');
  expect(queue.size).toBe(4);
  expect(queue.take((owner) => owner === 0)).toBe('z');
  expect(queue.takeAll()).toEqual(['d', 'a', 'b']);
  expect([queue.size, queue.take(everybody)]).toEqual([0, undefined]);
});
