import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeRegistrations, type Survey, type Vote } from '../../node/workflow/registration.ts';

/** Registrations that are known here, and one that is not. */
const KNOWN = ['n1:1', 'n2:1', 'n3:1'] as const;
const UNKNOWN = 'n4:1';

interface Voter {
  readonly gave: string | undefined;
  /** `passed`: it has no vote to give, whether it gave one or not is known. */
  readonly is: 'there' | 'passed' | 'forgot' | 'away';
}

interface World {
  readonly voters: readonly Voter[];
  /** Of these, their own nodes said that nobody was answered `201` with them. */
  readonly dismissed: readonly string[];
  readonly knowsAll: boolean;
}

const majorityOf = ({ voters }: World): number => Math.floor(voters.length / 2) + 1;

/** How many votes `registration` has or may still get. */
function mayGet(registration: string, { voters }: World): number {
  return voters.filter(
    ({ gave, is }) => gave === registration || (gave === undefined && (is === 'there' || is === 'away')),
  ).length;
}

function surveyOf({ voters, dismissed, knowsAll }: World): Survey {
  const voteOf = ({ gave, is }: Voter): Vote | undefined => {
    if (is === 'away') return undefined;
    if (is === 'forgot') return { kind: 'forgot' };
    if (gave !== undefined) return { kind: 'for', registration: gave };
    return { kind: is === 'passed' ? 'none' : 'free' };
  };
  const names = voters.map((_, index) => `n${index + 1}`);
  return {
    voters: names,
    votes: new Map(
      voters.flatMap((voter, index) => {
        const vote = voteOf(voter);
        return vote === undefined ? [] : [[names[index] ?? '', vote] as const];
      }),
    ),
    standing: KNOWN.filter((one) => !dismissed.includes(one)),
    knowsAll,
  };
}

const voter: fc.Arbitrary<Voter> = fc.record({
  gave: fc.constantFrom(undefined, undefined, ...KNOWN, UNKNOWN),
  is: fc.constantFrom('there', 'there', 'passed', 'forgot', 'away'),
});

const world: fc.Arbitrary<World> = fc
  .constantFrom(3, 5)
  .chain((size) =>
    fc.record({
      voters: fc.array(voter, { minLength: size, maxLength: size }),
      dismissed: fc.subarray([...KNOWN]),
      knowsAll: fc.boolean(),
    }),
  )
  // What a voter holds is taken in before its vote is counted: none that answers gave it to one that is not known.
  .filter(({ voters }) =>
    voters.every(({ gave, is }) => gave !== UNKNOWN || is === 'forgot' || is === 'away'),
  )
  // All that a majority of disks holds is known, so what is not known is on no majority.
  .filter(
    (one) =>
      !one.knowsAll ||
      (one.voters.filter(({ is }) => is !== 'away').length >= majorityOf(one) &&
        one.voters.filter(({ gave, is }) => gave === UNKNOWN || (gave === undefined && is === 'away'))
          .length < majorityOf(one)),
  );

describe('which registration of an order is the one', () => {
  it('is said only when no other one has won or can still win (B1 to B3)', () => {
    let settled = 0;
    fc.assert(
      fc.property(world, (one) => {
        const judgement = judgeRegistrations(surveyOf(one));
        if (judgement.kind !== 'settled') return;
        settled += 1;
        const rivals = [...KNOWN, UNKNOWN].filter(
          (name) => name !== judgement.registration && !one.dismissed.includes(name),
        );
        const winners = rivals.filter((name) => mayGet(name, one) >= majorityOf(one));
        // The limit: everybody has been asked, and too many forgot.
        const forgot = one.voters.filter(({ is }) => is === 'forgot').length;
        const isLimit = forgot > 0 && one.voters.every(({ is }) => is !== 'away');
        if (!isLimit) expect(winners).toEqual([]);
      }),
      { numRuns: 5_000 },
    );
    expect(settled).toBeGreaterThan(1_000);
  });

  it('is said in the end, when everybody has answered and voted', () => {
    fc.assert(
      fc.property(world, (one) => {
        const voters = one.voters.filter(
          ({ gave, is }) => is !== 'away' && (gave !== undefined || is !== 'there'),
        );
        fc.pre(voters.length === one.voters.length && one.knowsAll);
        expect(judgeRegistrations(surveyOf(one)).kind).toBe('settled');
      }),
      { numRuns: 300 },
    );
  });

  it('is the one that a majority voted for, whatever its own node said', () => {
    fc.assert(
      fc.property(world, fc.constantFrom(...KNOWN), (one, winner) => {
        const voters = one.voters.map((each, index) =>
          index < majorityOf(one) ? ({ gave: winner, is: 'there' } as const) : each,
        );
        expect(judgeRegistrations(surveyOf({ ...one, voters }))).toEqual({
          kind: 'settled',
          registration: winner,
        });
      }),
    );
  });

  it.each<[string, Survey, ReturnType<typeof judgeRegistrations>]>([
    [
      'waits for the voter that is away when it would tell which of two won',
      survey({ n1: KNOWN[0], n2: KNOWN[1] }, { standing: [KNOWN[0], KNOWN[1]], knowsAll: true }),
      { kind: 'open', wants: 'voter' },
    ],
    [
      'does not wait when one of the two said that its client was sent away',
      survey({ n1: KNOWN[0], n2: KNOWN[1] }, { standing: [KNOWN[1]], knowsAll: true }),
      { kind: 'settled', registration: KNOWN[1] },
    ],
    [
      'waits for a vote that is still to be given',
      survey({ n1: KNOWN[0], n2: 'free' }, { standing: [KNOWN[0]], knowsAll: true }),
      { kind: 'open', wants: 'vote' },
    ],
    [
      'asks for all that a majority holds when the votes that are left would be enough for one that is not known',
      survey({ n1: KNOWN[0], n2: 'forgot' }, { standing: [KNOWN[0]], knowsAll: false }),
      { kind: 'open', wants: 'knowledge' },
    ],
    [
      'is the only one known when most have forgotten',
      survey({ n1: KNOWN[0], n2: 'forgot', n3: 'forgot' }, { standing: [KNOWN[0]], knowsAll: true }),
      { kind: 'settled', registration: KNOWN[0] },
    ],
    [
      'is nobody’s when nobody voted and none stands',
      survey({ n1: 'none', n2: 'none', n3: 'none' }, { standing: [], knowsAll: true }),
      { kind: 'settled', registration: undefined },
    ],
  ])('%s', (_, asked, judgement) => {
    expect(judgeRegistrations(asked)).toEqual(judgement);
  });
});

/** Three voters; who is not named is away. A name of a registration is a vote for it. */
function survey(
  votes: Readonly<Record<string, string>>,
  known: Pick<Survey, 'standing' | 'knowsAll'>,
): Survey {
  const voteOf = (said: string): Vote =>
    said === 'free' || said === 'forgot' || said === 'none'
      ? { kind: said }
      : { kind: 'for', registration: said };
  return {
    voters: ['n1', 'n2', 'n3'],
    votes: new Map(Object.entries(votes).map(([name, said]) => [name, voteOf(said)])),
    ...known,
  };
}
