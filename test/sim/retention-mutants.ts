import type { Mutant } from './mutant.ts';

/** Breaches of what retention promises; part of the list in `mutants.ts`. */
export const retentionMutants: readonly Mutant[] = [
  {
    name: 'forget whatever is old enough',
    file: 'node/retention/horizon.ts',
    find: 'Math.min(wanted, oldest?.createdAt ?? Infinity)',
    replace: 'Math.min(wanted, Infinity)',
    why: 'An order that is not closed is forgotten, with its money or its units (R1).',
    caughtBy: ['retention'],
    seeds: { from: 11, count: 250, mode: 'safety' },
  },
  {
    name: 'give up entries of orders that are there',
    file: 'node/retention/trimming.ts',
    find: '      if (!kept.has(orderId)) {\n',
    replace: '      if (!kept.has(orderId) || registeredAt === undefined) {\n',
    why: 'Who was away never learns how an order went on (K1).',
    caughtBy: ['retention'],
    seeds: { from: 11, count: 250, mode: 'safety' },
  },
];
