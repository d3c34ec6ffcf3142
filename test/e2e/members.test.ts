import { expect, it } from 'vitest';
import {
  expectAllEnded,
  expectAnswersKept,
  expectExactBooks,
  expectMoneyMatches,
  expectStockAddsUp,
} from './support/books.ts';
import { startBuyers } from './support/buyers.ts';
import { plenty } from './support/catalog.ts';
import { eventually } from './support/eventually.ts';
import { useCluster } from './support/use-cluster.ts';

/** Members of a real cluster come and go while customers buy. */

const cluster = useCluster({ direct: true });

interface Members {
  readonly members: readonly { readonly id: string; readonly voter: boolean }[];
}

const votersAt = async (url: string): Promise<readonly string[]> => {
  const { members } = await cluster().get<Members>(`${url}/cluster/members`);
  return members.filter(({ voter }) => voter).map(({ id }) => id);
};

it('replaces a dead voter and removes the leader; no customer notices, nothing is lost or sold twice', async () => {
  const skus = plenty.map(({ sku }) => sku);
  const buyers = startBuyers({
    urls: cluster().urls,
    buyers: 8,
    wish: (index) => ({ lines: [{ sku: skus[index % skus.length] ?? '', quantity: 1 }] }),
    waitSeconds: 10,
    patienceMs: 60_000,
  });

  const newcomer = await cluster().add('n4');
  await cluster().changeMembers(newcomer, 'POST', 'n4/promote');
  await cluster().kill('n2');
  await cluster().remove('n2', newcomer);
  const leader = await cluster().leader();
  const left = ['n1', 'n3', 'n4'].filter((name) => name !== leader);
  // Asked of itself or of another one: whoever is asked has it done.
  await cluster().remove(leader, newcomer);
  await eventually(20_000, async () => {
    for (const url of cluster().urls) expect(await votersAt(url)).toEqual(left);
  });
  if (leader === 'n1' || leader === 'n3') {
    const { status, body } = await cluster().http.ask('GET', `${cluster().url(leader)}/readyz`);
    expect(status).toBe(503);
    expect(JSON.stringify(body)).toContain('NOT_A_MEMBER');
  }
  // The rest sell on.
  const before = buyers.purchases.length;
  await eventually(20_000, async () => {
    expect(buyers.purchases.length).toBeGreaterThan(before + 50);
  });

  const purchases = await buyers.stop();
  expect(purchases.filter(({ order }) => order === undefined)).toEqual([]);
  const orders = await expectAllEnded(cluster(), purchases, 30_000);
  expectAnswersKept(purchases, orders);
  await expectMoneyMatches(cluster(), orders);
  await expectStockAddsUp(cluster(), plenty, orders, 15_000);
  await expectExactBooks(cluster(), plenty, orders, 60_000);

  // The list is the ledger's, not the files': it is there again after everybody was gone. So is the cluster, and it says
  // who is not in it any more.
  const gone = ['n2', leader].toSorted();
  const said = await cluster().restart();
  await eventually(30_000, async () => {
    for (const url of cluster().urls) {
      expect(await votersAt(url)).toEqual(left);
      expect((await cluster().http.ask('GET', `${url}/readyz`)).status).toBe(200);
    }
  });
  for (const name of left) expect(said).toMatch(new RegExp(`^  node ${name} +http`, 'm'));
  for (const name of gone) {
    expect(said).not.toMatch(new RegExp(`^  node ${name} +http`, 'm'));
    expect(said).toMatch(new RegExp(`^  node ${name} +removed from the cluster; its data stays in `, 'm'));
    expect(await cluster().dev('status')).toMatch(
      new RegExp(`^${name} +down +removed from the cluster`, 'm'),
    );
    await expect(cluster().dev('revive', name)).rejects.toThrow(`node ${name} was removed from the cluster`);
  }
  expect(said).toContain('No voter may be lost now: 2 of 2 are up');
}, 180_000);
