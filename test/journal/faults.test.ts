import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../store/environment.ts';
import type { ClaimVerdict, JournalError, Position } from '../../store/journal/port.ts';
import { entryKey } from '../../store/journal/records.ts';
import { integerBetween } from '../support/random.ts';
import { bytes, TestCluster, type TestNode } from './cluster.ts';

const rough = { loss: 0.05, duplication: 0.05, reorder: true, latencyMsMin: 0.2, latencyMsMax: 30 };
const small = { frameBytesMax: 800, pageBytesMax: 1_500, recentBytesMax: 3_000, claimsCachedMax: 4 };

/** Something bad, now and then: links break, or work one way, processes die, machines lose power. At most a minority is down. */
class Trouble {
  readonly #cluster: TestCluster;
  readonly #down = new Set<NodeId>();

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  async strike(): Promise<void> {
    const { random, ids, network } = this.#cluster;
    const id = ids[integerBetween(random, 0, ids.length - 1)] ?? '';
    const dice = random();
    if (dice < 0.1) {
      const deaf = ids.find((other) => other !== id);
      if (deaf !== undefined) network.cutSilently(id, deaf);
    } else if (dice < 0.25) {
      const away = ids.filter(() => random() < 0.4);
      network.partition([away, ids.filter((other) => !away.includes(other))], { noticed: random() < 0.5 });
    } else if (dice < 0.5) {
      network.heal();
    } else if (this.#down.has(id)) {
      await this.#cluster.start(id);
      this.#down.delete(id);
    } else if (this.#down.size < Math.floor((ids.length - 1) / 2)) {
      if (random() < 0.5) this.#cluster.kill(id);
      else this.#cluster.losePower(id);
      this.#down.add(id);
    }
  }

  async end(): Promise<void> {
    this.#cluster.network.heal();
    for (const id of this.#down) await this.#cluster.start(id);
    this.#down.clear();
    await this.#cluster.opened();
  }
}

/** A random member that is up and open. */
function pick(cluster: TestCluster): NodeId | undefined {
  const open = [...cluster.nodes.values()].filter(({ journal }) => journal.stats().phase === 'open');
  return open[integerBetween(cluster.random, 0, open.length - 1)]?.id;
}

/** Often one member, sometimes several at once: who registers the same order now. */
function some(cluster: TestCluster): readonly TestNode[] {
  const nodes = [...cluster.nodes.values()];
  const one = nodes[integerBetween(cluster.random, 0, nodes.length - 1)];
  if (cluster.random() < 0.6 && one !== undefined) return [one];
  return nodes.filter(() => cluster.random() < 0.6);
}

describe.each(
  Array.from({ length: 12 }, (_, index) => ({ seed: 100 + index, size: index % 2 === 0 ? 3 : 5 })),
)(
  'seed $seed, $size nodes, under loss, duplication, reordering, partitions, deaths and power loss',
  ({ seed, size }) => {
    test('all members converge, nothing acknowledged is lost, nothing is told twice', async () => {
      const cluster = await TestCluster.open({ seed, size, faults: rough, limits: small });
      const trouble = new Trouble(cluster);
      const acknowledged = new Map<string, string>();
      for (let step = 0; step < 60; step++) {
        const id = pick(cluster);
        for (let count = integerBetween(cluster.random, 0, 8); count > 0 && id !== undefined; count--) {
          const payload = `step ${step} no ${count} ${'x'.repeat(integerBetween(cluster.random, 0, 200))}`;
          const { position, durable } = cluster
            .journal(id)
            .append(bytes(payload), { durability: 'quorum', timeoutMs: 2_000 });
          durable.then(
            () => acknowledged.set(`${position.origin}:${position.sequence}`, payload),
            () => undefined,
          );
        }
        await cluster.clock.advance(integerBetween(cluster.random, 1, 150));
        if (cluster.random() < 0.3) await trouble.strike();
      }
      await trouble.end();
      await cluster.converge();
      expect(cluster.fatalErrors()).toEqual([]);

      const contents = await cluster.contents('n1');
      for (const id of cluster.ids) expect(await cluster.contents(id)).toEqual(contents);
      const kept = new Set(contents);
      for (const [position, payload] of acknowledged) expect(kept).toContain(`${position}=${payload}`);
      expect(acknowledged.size).toBeGreaterThan(20);
      for (const { heard } of cluster.nodes.values()) {
        const last = new Map<NodeId, number>();
        for (const { origin, sequence } of heard) {
          expect(sequence).toBe((last.get(origin) ?? sequence - 1) + 1);
          last.set(origin, sequence);
        }
      }
    });

    test('no claim has two winners, no loser has a holder that did not win', async () => {
      const cluster = await TestCluster.open({ seed: seed + 1_000, size, faults: rough, limits: small });
      const trouble = new Trouble(cluster);
      const verdicts: { claim: string; position: Position | undefined; verdict: ClaimVerdict }[] = [];
      for (let step = 0; step < 60; step++) {
        const claim = `order ${Math.floor(step / 3)}`;
        for (const { id, journal } of some(cluster)) {
          journal.register(claim, bytes(`${claim} at ${id}`), { timeoutMs: 1_500 }).then(
            ({ position, verdict }) => verdicts.push({ claim, position, verdict }),
            (error: unknown) => expect((error as JournalError).code).toBe('UNAVAILABLE'),
          );
        }
        await cluster.clock.advance(integerBetween(cluster.random, 1, 60));
        if (cluster.random() < 0.2) await trouble.strike();
      }
      await trouble.end();
      await cluster.converge();
      await cluster.clock.advance(3_000);
      expect(cluster.fatalErrors()).toEqual([]);

      const name = (position: Position): string => `${position.origin}:${position.sequence}`;
      const winners = new Map<string, string>();
      for (const { claim, position, verdict } of verdicts) {
        if (verdict.kind !== 'won' || position === undefined) continue;
        expect(winners.get(claim)).toBeUndefined();
        winners.set(claim, name(position));
      }
      for (const { claim, verdict } of verdicts) {
        // Who was told that the ledger decides may rely on nobody having won without it.
        if (verdict.kind === 'split') expect(winners.get(claim)).toBeUndefined();
      }
      expect(winners.size).toBeGreaterThan(4);

      // A majority names the winner, whoever asks.
      for (const [claim, winner] of winners) {
        const asked = cluster.journal(cluster.ids.at(-1) ?? '').holders(claim, { timeoutMs: 20_000 });
        const holders = await cluster.clock.resolve(asked, { withinMs: 20_000 });
        if (holders.size < size) continue;
        const agreeing = [...holders.values()].filter(
          (one) => one.kind === 'held' && name(one.holder) === winner,
        );
        expect(agreeing.length).toBeGreaterThan(size / 2);
      }
    });
  },
);

describe.each([3, 5])('%i nodes', (size) => {
  test.each([1, 2, 3, 4])(
    'power loss of all nodes loses nothing that was acknowledged (seed %i)',
    async (seed) => {
      const cluster = await TestCluster.open({ seed, size, syncMs: 3, limits: small });
      const acknowledged: string[] = [];
      const copies: number[] = [];
      // Bursts of several frames, so that one is acknowledged while the next is still on its way to the disk.
      for (let step = 0; step < 30; step++) {
        const id = cluster.ids[integerBetween(cluster.random, 0, size - 1)] ?? '';
        for (let index = 0; index < 20; index++) {
          const payload = `${step}/${index} ${'x'.repeat(100)}`;
          const { position, durable } = cluster.journal(id).append(bytes(payload), { durability: 'quorum' });
          durable.then(
            () => {
              acknowledged.push(`${position.origin}:${position.sequence}=${payload}`);
              const key = entryKey(position.origin, position.sequence);
              copies.push(cluster.ids.filter((other) => cluster.disk(other).keys(key).length > 0).length);
            },
            () => undefined,
          );
        }
        await cluster.clock.advance(cluster.random() * 3);
      }
      expect(Math.min(...copies)).toBeGreaterThan(size / 2);
      const before = [...acknowledged];
      // The worst case: whatever may be lost is lost.
      for (const id of cluster.ids) cluster.losePower(id, 'everything at risk');
      for (const id of cluster.ids) await cluster.start(id);
      await cluster.opened();
      await cluster.converge();
      expect(before.length).toBeGreaterThan(5);
      for (const id of cluster.ids)
        expect(await cluster.contents(id)).toEqual(expect.arrayContaining(before));
      expect(cluster.fatalErrors()).toEqual([]);
    },
  );

  test.each([1, 2, 3, 4])(
    'the loss of a minority of disks loses nothing acknowledged, nor a vote (seed %i)',
    async (seed) => {
      const cluster = await TestCluster.open({ seed: 50 + seed, size, faults: rough, limits: small });
      const acknowledged: string[] = [];
      const winners = new Map<string, number>();
      const register = (claim: string): void => {
        for (const { journal } of some(cluster)) {
          journal.register(claim, bytes(claim), { timeoutMs: 3_000 }).then(
            ({ verdict }) => winners.set(claim, (winners.get(claim) ?? 0) + (verdict.kind === 'won' ? 1 : 0)),
            () => undefined,
          );
        }
      };
      const [first = '', ...others] = cluster.ids;
      for (let round = 0; round < 5; round++) {
        for (let index = 0; index < 10; index++) {
          const id = pick(cluster) ?? first;
          const { position, durable } = cluster
            .journal(id)
            .append(bytes(`${round}/${index}`), { durability: 'quorum', timeoutMs: 5_000 });
          durable.then(
            () => acknowledged.push(`${position.origin}:${position.sequence}=${round}/${index}`),
            () => undefined,
          );
          register(`order ${round}/${index}`);
          await cluster.clock.advance(integerBetween(cluster.random, 1, 20));
        }
        // Different ones each round, in the middle of everything; the same orders are then tried again.
        const lost = others.slice(round % 2, (round % 2) + Math.floor((size - 1) / 2));
        for (const id of lost) {
          cluster.losePower(id);
          cluster.wipe(id);
        }
        await cluster.clock.advance(integerBetween(cluster.random, 1, 500));
        for (const id of lost) await cluster.start(id);
        for (let index = 0; index < 10; index++) register(`order ${round}/${index}`);
        await cluster.opened();
        // Only one minority at a time: the next loss comes when the entries have copies again.
        await cluster.converge();
      }
      await cluster.clock.advance(5_000);
      expect(cluster.fatalErrors()).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(20);
      for (const id of cluster.ids)
        expect(await cluster.contents(id)).toEqual(expect.arrayContaining(acknowledged));
      expect([...winners].filter(([, count]) => count > 1)).toEqual([]);
      expect([...winners].filter(([, count]) => count === 1).length).toBeGreaterThan(10);
    },
  );
});
