import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createIdentity, peerIdOf } from '../../store/peers/identity.ts';
import { obstacle, type Standing } from '../../store/membership/barrier.ts';
import {
  changed,
  configurationOf,
  differences,
  epochOf,
  foundingList,
  listOf,
  votersOf,
} from '../../store/membership/member-list.ts';
import {
  decodeAnswer,
  decodeChange,
  decodeFarewell,
  encodeAnswer,
  encodeChange,
  encodeFarewell,
} from '../../store/membership/messages.ts';
import {
  MembershipError,
  type MemberChange,
  type MemberList,
  type MemberRecord,
} from '../../store/membership/port.ts';

const peerIds = await Promise.all(Array.from({ length: 8 }, async () => peerIdOf(await createIdentity())));

function member(index: number, more: Partial<MemberRecord> = {}): MemberRecord {
  return {
    id: `n${index}`,
    peerId: peerIds[index] ?? '',
    zone: 'main',
    address: { host: '10.0.0.1', port: 9_000 + index },
    voter: true,
    ...more,
  };
}

const founders = foundingList([member(1), member(2), member(3)]);

function codeOf(list: MemberList, change: MemberChange): string {
  try {
    changed(list, change);
    return 'changed';
  } catch (error) {
    return error instanceof MembershipError ? error.code : String(error);
  }
}

const changes: fc.Arbitrary<MemberChange> = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    member: fc
      .record({ index: fc.integer({ min: 1, max: 7 }), zone: fc.constantFrom('main', 'far', 'nowhere') })
      .map(({ index, zone }) => member(index, { zone })),
  }),
  fc.record({
    kind: fc.constantFrom('promote' as const, 'remove' as const),
    id: fc.integer({ min: 1, max: 7 }).map((index) => `n${index}`),
  }),
);

describe('a list of members', () => {
  test('changes by one member, keeps a voter per zone, and counts its epochs, whatever is asked (M1 to M4)', () => {
    const start = foundingList([member(1), member(2), member(3, { zone: 'far' })]);
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 30 }), (asked) => {
        let list = start;
        for (const change of asked) {
          let next = list;
          try {
            next = changed(list, change);
          } catch (error) {
            expect(error).toBeInstanceOf(MembershipError);
          }
          const voters = votersOf(list.members);
          const nextVoters = votersOf(next.members);
          const difference = [
            ...voters.filter((id) => !nextVoters.includes(id)),
            ...nextVoters.filter((id) => !voters.includes(id)),
          ];
          expect(difference.length).toBeLessThanOrEqual(1);
          for (const zone of ['main', 'far']) {
            expect(votersOf(next.members, zone).length).toBeGreaterThan(0);
            const same = votersOf(list.members, zone).join() === votersOf(next.members, zone).join();
            expect(epochOf(next, zone) - epochOf(list, zone)).toBe(same ? 0 : 1);
          }
          for (const key of ['id', 'peerId'] as const) {
            expect(new Set(next.members.map((one) => one[key])).size).toBe(next.members.length);
          }
          list = next;
        }
        expect(listOf(configurationOf(list))).toEqual(list);
      }),
    );
  });

  test('is as it was when what is asked for is so already', () => {
    const added = changed(founders, { kind: 'add', member: member(4) });
    expect(changed(added, { kind: 'add', member: member(4) })).toBe(added);
    const promoted = changed(added, { kind: 'promote', id: 'n4' });
    expect(changed(promoted, { kind: 'promote', id: 'n4' })).toBe(promoted);
  });

  test('takes a newcomer as an observer, who is nobody’s voter until it is promoted', () => {
    const added = changed(founders, { kind: 'add', member: member(4) });
    expect(configurationOf(added)).toMatchObject({ voters: ['n1', 'n2', 'n3'], observers: ['n4'] });
    expect(configurationOf(changed(added, { kind: 'promote', id: 'n4' })).voters).toEqual([
      'n1',
      'n2',
      'n3',
      'n4',
    ]);
  });

  test.each([
    ['ALREADY_MEMBER', { kind: 'add', member: member(4, { id: 'n2' }) }],
    ['ALREADY_MEMBER', { kind: 'add', member: member(2, { id: 'n4' }) }],
    ['ALREADY_MEMBER', { kind: 'add', member: member(4, { address: member(1).address }) }],
    ['INVALID_MEMBER', { kind: 'add', member: member(4, { peerId: 'nonsense' }) }],
    ['INVALID_MEMBER', { kind: 'add', member: member(4, { id: 'N/4' }) }],
    ['INVALID_MEMBER', { kind: 'add', member: member(4, { zone: 'elsewhere' }) }],
    ['INVALID_MEMBER', { kind: 'add', member: member(4, { address: { host: 'a/b', port: 1 } }) }],
    ['UNKNOWN_MEMBER', { kind: 'promote', id: 'n4' }],
    ['UNKNOWN_MEMBER', { kind: 'remove', id: 'n4' }],
  ] as const)('refuses with %s what cannot be', (code, change) => {
    expect(codeOf(founders, change)).toBe(code);
  });

  test('does not let the last voter go', () => {
    expect(codeOf(foundingList([member(1), member(2, { voter: false })]), { kind: 'remove', id: 'n1' })).toBe(
      'LAST_VOTER',
    );
  });

  test('says in what it differs from a file', () => {
    const now = changed(changed(founders, { kind: 'remove', id: 'n2' }), { kind: 'add', member: member(4) });
    expect(differences(founders, now)).toEqual(['n2 is only in the first', 'n4 is only in the second']);
    expect(differences(now, now)).toEqual([]);
  });
});

describe('what members say to each other about it', () => {
  test('survives the way, and nonsense does not arrive', () => {
    const error = new MembershipError('JOURNAL_BEHIND', 'not yet', 'n4');
    for (const change of [
      { kind: 'add', member: member(4, { voter: false }) },
      { kind: 'promote', id: 'n4' },
      { kind: 'remove', id: 'n4' },
    ] as const)
      expect(decodeChange(encodeChange(change))).toEqual(change);
    expect(decodeAnswer(encodeAnswer({ kind: 'changed', list: founders }))).toEqual({
      kind: 'changed',
      list: founders,
    });
    expect(decodeAnswer(encodeAnswer({ kind: 'refused', error }))).toMatchObject({
      error: { code: 'JOURNAL_BEHIND', detail: 'not yet', member: 'n4' },
    });
    expect(decodeFarewell(encodeFarewell({ index: 7, list: founders }))).toEqual({
      index: 7,
      list: founders,
    });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 40 }),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          for (const decode of [decodeChange, decodeAnswer, decodeFarewell])
            expect(decode(bytes)).toBeUndefined();
        },
      ),
    );
  });
});

describe('the journals stand in the way of a change', () => {
  const ready: Standing = { epoch: 0, open: true };
  const added = changed(founders, { kind: 'add', member: member(4) });
  const standings = (entries: Readonly<Record<string, Standing>>) => new Map(Object.entries(entries));
  const allReady = { n1: ready, n2: ready, n3: ready, n4: ready };

  test.each([
    ['of a newcomer that nobody reaches', 'JOURNAL_BEHIND', { n1: ready, n2: ready, n3: ready }],
    ['of one that is still learning', 'JOURNAL_BEHIND', { ...allReady, n4: { epoch: 0, open: false } }],
    ['while a voter is one change behind', 'JOURNAL_BEHIND', { ...allReady, n2: { epoch: -1, open: true } }],
    ['while half of the voters are silent', 'QUORUM_AT_RISK', { n1: ready, n4: ready }],
  ])('%s', (_, code, entries: Readonly<Record<string, Standing>>) => {
    const next = changed(added, { kind: 'promote', id: 'n4' });
    expect(obstacle(added, next, standings(entries))).toMatchObject({ code });
  });

  test('and of nothing else: a dead voter hinders neither its own removal nor a promotion', () => {
    const withoutTwo = { n1: ready, n3: ready, n4: ready };
    for (const change of [
      { kind: 'promote', id: 'n4' },
      { kind: 'remove', id: 'n2' },
    ] as const)
      expect(obstacle(added, changed(added, change), standings(withoutTwo))).toBeUndefined();
    // Nobody's vote changes: nobody is asked.
    expect(obstacle(founders, added, new Map())).toBeUndefined();
  });

  test('of the removal of a voter that the rest could not do without', () => {
    const next = changed(founders, { kind: 'remove', id: 'n1' });
    expect(obstacle(founders, next, standings({ n1: ready, n3: ready }))).toMatchObject({
      code: 'QUORUM_AT_RISK',
      member: 'n2',
    });
  });
});
