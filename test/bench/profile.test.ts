import { expect, it } from 'vitest';
import { summarize } from '../../bench/profile.ts';

it('adds up self time by module, without the time in which nothing ran', () => {
  const frame = (id: number, url: string, functionName = 'work') => ({
    id,
    callFrame: { url, functionName },
  });
  const times = summarize(
    {
      nodes: [
        frame(1, 'file:///app/store/journal/journal.ts'),
        frame(2, 'file:///app/node_modules/@libp2p/yamux/dist/index.js'),
        frame(3, '', '(idle)'),
        frame(4, '', '(garbage collector)'),
        frame(5, 'node:internal/streams/readable'),
      ],
      samples: [1, 2, 3, 1, 4, 5],
      timeDeltas: [0, 3_000, 1_000, 50_000, 2_000, 1_000, 1_000],
    },
    '/app',
  );
  expect(times).toEqual([
    { module: 'store/journal/journal.ts', ms: 5, share: 5 / 8 },
    { module: '@libp2p/yamux', ms: 1, share: 1 / 8 },
    { module: '(garbage collector)', ms: 1, share: 1 / 8 },
    { module: 'node:streams', ms: 1, share: 1 / 8 },
  ]);
});
