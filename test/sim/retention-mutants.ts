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
  {
    name: 'keep quiet about the horizon of a base',
    file: 'store/journal/compaction.ts',
    find: '        listener(bases.horizon);\n',
    replace: '        void listener;\n',
    why: 'Who jumps waits for ever for entries that nobody has any more (J13).',
    caughtBy: ['convergence', 'liveness', 'retention'],
    seeds: { from: 382, count: 250, mode: 'liveness' },
  },
  {
    name: 'drive orders without asking what is forgotten',
    file: 'node/retention/fence.ts',
    find: 'this.#asked !== undefined : this.#ageMs() < retainForMs * VALID_SHARE;',
    replace: 'this.#asked !== undefined : this.#ageMs() >= 0;',
    why: 'Who was away asks for money for orders that are long over (Q1).',
    caughtBy: ['retention'],
    seeds: { from: 20, count: 60, mode: 'safety', deck: 'seclusions' },
  },
  {
    name: 'decide forgotten orders anew',
    file: 'store/ledger/order-records.ts',
    find: "return createdAtOf(order, at) < state.horizon ? 'forgotten' : 'unknown';",
    replace: "return createdAtOf(order, at) < 0 ? 'forgotten' : 'unknown';",
    why: 'Goods leave twice for one order (L13).',
    caughtBy: ['ledger history'],
    seeds: { from: 1, count: 60, mode: 'safety', deck: 'seclusions' },
  },
];
