import fc from 'fast-check';
import { expect, test } from 'vitest';

import { Agenda } from '../../node/payments/sandbox/agenda.ts';

const sets = fc.array(
  fc.record({
    afterMs: fc.nat(30),
    id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
    delayMs: fc.constantFrom(0, 5, 20, 50),
    isRemoved: fc.boolean(),
  }),
  { maxLength: 40 },
);

test('things come in the order of their times, each at most once, and what was taken away does not come (A1)', () => {
  fc.assert(
    fc.property(sets, (history) => {
      const agenda = new Agenda();
      const due = new Map<string, number>();
      let at = 0;
      for (const { afterMs, id, delayMs, isRemoved } of history) {
        at += afterMs;
        if (isRemoved) agenda.remove(id);
        else agenda.set(at, id, delayMs);
        if (isRemoved) due.delete(id);
        else due.set(id, at + delayMs);
      }
      const come: number[] = [];
      for (let next = agenda.next(); next !== undefined; next = agenda.next()) {
        expect(next.dueAt).toBe(due.get(next.id));
        due.delete(next.id);
        come.push(next.dueAt);
        agenda.remove(next.id);
      }
      expect(due.size).toBe(0);
      expect(come).toEqual(come.toSorted((left, right) => left - right));
    }),
  );
});
