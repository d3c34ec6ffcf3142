import type { Random } from '../../../store/environment.ts';
import { integerBetween } from '../../support/random.ts';
import { faults, mixOf } from './faults.ts';
import type { Fault } from './faults.ts';

/**
 * What strikes in which round. All kinds of faults are dealt out like cards, so that each comes up equally often
 * over the rounds, in an order of the seed; each round ends with a mix of several at once.
 */

const mixedPerRound = 3;

export function shuffled<Item>(items: readonly Item[], random: Random): readonly Item[] {
  const cards = [...items];
  for (let left = cards.length - 1; left > 0; left -= 1) {
    const pick = integerBetween(random, 0, left);
    [cards[left], cards[pick]] = [cards[pick] as Item, cards[left] as Item];
  }
  return cards;
}

/** The faults of one round after the other, for ever. */
export function* rounds(random: Random, perRound: number): Generator<readonly Fault[], never> {
  let deck: readonly Fault[] = [];
  for (;;) {
    const dealt: Fault[] = [];
    while (dealt.length < perRound) {
      if (deck.length === 0) deck = shuffled(Object.values(faults), random);
      const [card, ...rest] = deck;
      if (card !== undefined) dealt.push(card);
      deck = rest;
    }
    yield [...dealt, mixOf(mixable(random))];
  }
}

/** Never two disks: what a majority had is promised to survive the loss of one. */
function mixable(random: Random): readonly Fault[] {
  const wipes: readonly Fault[] = [faults.wipeLeader, faults.wipeFollower, faults.wipingTwice];
  const candidates = shuffled(
    Object.values(faults).filter(({ mixes }) => mixes),
    random,
  );
  const firstWipe = candidates.find((fault) => wipes.includes(fault));
  return candidates.filter((fault) => !wipes.includes(fault) || fault === firstWipe).slice(0, mixedPerRound);
}
