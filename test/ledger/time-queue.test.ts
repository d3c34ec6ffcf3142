import fc from 'fast-check';
import { expect, test } from 'vitest';

import { TimeQueue } from '../../store/ledger/time-queue.ts';
import type { Queued } from '../../store/ledger/time-queue.ts';

interface Member extends Queued {
  readonly at: number;
}

test('whatever is added and removed, members leave in order of their times, then of order id', () => {
  const step = fc.oneof(
    { arbitrary: fc.record({ add: fc.integer({ min: 0, max: 99 }) }), weight: 3 },
    { arbitrary: fc.record({ remove: fc.nat() }), weight: 2 },
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const queue = new TimeQueue<Member>(({ at }) => at);
      const members: Member[] = [];
      for (const [index, action] of steps.entries()) {
        if ('add' in action) {
          const member = { orderId: `o${(index * 7) % 127}`, at: action.add, slot: -1 };
          queue.add(member);
          members.push(member);
        } else if (members.length > 0) {
          const [gone] = members.splice(action.remove % members.length, 1);
          if (gone === undefined) continue;
          queue.remove(gone);
          // Removing it again must not take another with it.
          queue.remove(gone);
        }
        expect(queue.size).toBe(members.length);
      }
      members.sort((a, b) => a.at - b.at || (a.orderId < b.orderId ? -1 : 1));
      for (const expected of members) {
        const first = queue.peek();
        expect(first).toBe(expected);
        if (first !== undefined) queue.remove(first);
      }
      expect(queue.peek()).toBeUndefined();
    }),
    { seed: 47, numRuns: 1_000 },
  );
});
