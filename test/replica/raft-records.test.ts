import { expect, test } from 'vitest';
import {
  emptyDisk,
  encodeConfiguration,
  type Entry,
  type Message,
  type Persist,
} from '../../store/consensus/index.ts';
import { operationsOf, readLog } from '../../store/ledger/raft-records.ts';
import { decodeMessage, encodeMessage } from '../../store/ledger/replica-messages.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { integerBetween, seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const entry = (index: number, term: number, size: number): Entry => ({
  index,
  term,
  kind: size === 0 ? 'noop' : 'command',
  data: new Uint8Array(size).fill(index % 256),
});

/** No snapshot: the log is all there is. */
const whole = {
  snapshot: undefined,
  log: testEnvironment({ clock: new VirtualClock(), random: () => 0 }).log,
};

const plain = (entries: readonly Entry[]): unknown => entries.map((one) => ({ ...one, data: [...one.data] }));

test('what is read is what was written last, whatever was replaced on the way', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = seededRandom(seed);
    const disk = new MemoryDisk().open(new VirtualClock());
    expect(await readLog(disk, whole)).toEqual(emptyDisk);
    let log: Entry[] = [];
    for (let sequence = 1; sequence <= 20; sequence++) {
      const truncateFrom =
        log.length > 0 && random() < 0.3 ? integerBetween(random, 1, log.length) : undefined;
      const kept = truncateFrom === undefined ? log : log.slice(0, truncateFrom - 1);
      const added = Array.from({ length: integerBetween(random, 0, 4) }, (_, place) =>
        entry(kept.length + 1 + place, sequence, integerBetween(random, 0, 40)),
      );
      const persist: Persist = {
        sequence,
        snapshot: undefined,
        truncateFrom,
        entries: added,
        hardState: {
          term: sequence,
          votedFor: random() < 0.5 ? 'n2' : undefined,
          commitIndex: 0,
          recovering: random() < 0.5,
        },
      };
      await disk.write(operationsOf(persist, log.length), { sync: true });
      log = [...kept, ...added];
      const read = await readLog(disk, whole);
      expect(read.hardState).toEqual(persist.hardState);
      expect(plain(read.entries)).toEqual(plain(log));
    }
  }
});

test('a log of many pages is read whole', async () => {
  const disk = new MemoryDisk().open(new VirtualClock());
  const entries = Array.from({ length: 2_500 }, (_, place) => entry(place + 1, 1, 1));
  const hardState = { term: 1, votedFor: undefined, commitIndex: 2_500, recovering: false };
  await disk.write(
    operationsOf({ sequence: 1, snapshot: undefined, truncateFrom: undefined, entries, hardState }, 0),
    {
      sync: true,
    },
  );
  expect((await readLog(disk, whole)).entries).toHaveLength(2_500);
});

test('every message survives the wire, and what is cut short or bent does not get through', () => {
  const addressed = { from: 'n1', to: 'n2', term: 7 };
  const append = {
    ...addressed,
    kind: 'append',
    previousIndex: 4,
    previousTerm: 2,
    commitIndex: 4,
    ends: 'recovery',
    sentAt: 123_456.789,
  } as const;
  const configuration = { voters: ['n1', 'n2'], observers: ['o1'], records: 'where they live' };
  const configurationEntry = (index: number, data: Uint8Array): Entry => {
    return { index, term: 7, kind: 'configuration', data };
  };
  const messages: readonly Message[] = [
    { kind: 'preVoteRequest', ...addressed, lastIndex: 5, lastTerm: 6 },
    { kind: 'preVoteAnswer', ...addressed, vote: 'refused' },
    { kind: 'voteRequest', ...addressed, lastIndex: 2 ** 40, lastTerm: 6, cause: 'transfer' },
    { kind: 'campaignNow', ...addressed },
    { kind: 'voteAnswer', ...addressed, vote: 'recovering' },
    { kind: 'snapshotOffer', ...addressed, index: 2 ** 40, snapshotTerm: 7, sentAt: 0.25 },
    { ...append, entries: [] },
    { ...append, entries: [entry(5, 2, 0), entry(6, 7, 3_000)] },
    { ...append, entries: [configurationEntry(5, encodeConfiguration(configuration))] },
    {
      kind: 'appendAnswer',
      ...addressed,
      standing: 'recovering',
      sentAt: 1.5,
      outcome: { kind: 'accepted', matchIndex: 9 },
    },
    {
      kind: 'appendAnswer',
      ...addressed,
      standing: 'remembering',
      sentAt: 0,
      outcome: { kind: 'rejected', previousIndex: 4, hintIndex: 3, hintTerm: 2, lastIndex: 1 },
    },
  ];
  for (const message of messages) {
    const bytes = encodeMessage(message);
    const decoded = decodeMessage('n1', 'n2', bytes);
    if (decoded?.kind === 'append' && message.kind === 'append') {
      expect(plain(decoded.entries)).toEqual(plain(message.entries));
      expect({ ...decoded, entries: [] }).toEqual({ ...message, entries: [] });
    } else {
      expect(decoded).toEqual(message);
    }
    for (let length = 0; length < Math.min(bytes.length, 60); length++) {
      expect(decodeMessage('n1', 'n2', bytes.subarray(0, length))).toBeUndefined();
    }
  }
  const gap = encodeMessage({ ...append, entries: [entry(6, 7, 1)] });
  const backwards = encodeMessage({ ...append, entries: [entry(5, 7, 1), entry(6, 6, 1)] });
  const fromTheFuture = encodeMessage({ ...append, entries: [entry(5, 8, 1)] });
  const twice = encodeConfiguration({ voters: ['n1'], observers: ['n1'] });
  const twoFaced = encodeMessage({ ...append, entries: [configurationEntry(5, twice)] });
  const unreadable = encodeMessage({ ...append, entries: [configurationEntry(5, new Uint8Array(3))] });
  for (const bent of [gap, backwards, fromTheFuture, twoFaced, unreadable]) {
    expect(decodeMessage('n1', 'n2', bent)).toBeUndefined();
  }
});
