import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlannedNode } from '../../node/cli/dev/plan.ts';
import { waitForReady, waitForStock } from '../../node/cli/dev/readiness.ts';
import { eventually } from '../e2e/support/eventually.ts';
import { AnsweringNode } from './fixtures/answering-node.ts';

/** What `freehold dev` waits for, of nodes that answer as they are told. */

const noCatalogue = 'no catalogue has been read from the system of record yet (ECONNREFUSED)';

let n1: AnsweringNode;
let n2: AnsweringNode;
let n3: AnsweringNode;
let notes: string[];
let stop: AbortController;

beforeEach(async () => {
  [n1, n2, n3] = await Promise.all([
    AnsweringNode.listen('n1'),
    AnsweringNode.listen('n2'),
    AnsweringNode.listen('n3'),
  ]);
  for (const node of [n1, n2, n3]) {
    node.leader = 'n3';
    node.members = ['n1', 'n2', 'n3'];
  }
  notes = [];
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await Promise.all([n1, n2, n3].map((node) => node.close()));
});

const planned = (...nodes: readonly AnsweringNode[]) =>
  nodes.map(({ name, httpUrl }) => ({ name, httpUrl, logFile: `${name}.log` }) as PlannedNode);
const waiting = (options: { readonly timeoutMs?: number; readonly noteAfterMs?: number } = {}) => ({
  timeoutMs: 10_000,
  noteAfterMs: 0,
  ...options,
  during: stop.signal,
  note: (line: string) => void notes.push(line),
});

describe('a start waits', () => {
  it('until all members are ready, and then knows who they are', async () => {
    n2.reasons = ['the node is catching up with its peers'];
    const members = waitForReady(planned(n1, n2, n3), waiting());
    await eventually(5_000, async () => {
      expect(notes).toEqual(['  waiting for n2: the node is catching up with its peers']);
    });
    n2.reasons = [];
    expect(await members).toEqual(['n1', 'n2', 'n3'].map((id) => ({ id, voter: true })));
  });

  it('and says what for, again when that changes and not otherwise', async () => {
    for (const node of [n1, n2, n3]) node.reasons = ['the ledger has no leader', noCatalogue];
    const members = waitForReady(planned(n1, n2, n3), waiting());
    await eventually(5_000, async () => {
      expect(notes).toEqual([`  waiting for n1, n2, n3: the ledger has no leader; ${noCatalogue}`]);
    });
    n1.reasons = [noCatalogue];
    n2.reasons = [];
    n3.reasons = [noCatalogue];
    await eventually(5_000, async () => {
      expect(notes.at(-1)).toBe(`  waiting for n1, n3: ${noCatalogue}`);
    });
    for (const node of [n1, n3]) node.reasons = [];
    await members;
    // Between the two, one node may have been asked before its reasons changed and another after.
    expect(notes.length).toBeLessThanOrEqual(3);
  });

  it('quietly as long as nothing is unusual', async () => {
    n1.reasons = [noCatalogue];
    const members = waitForReady(planned(n1, n2, n3), waiting({ noteAfterMs: 60_000 }));
    await eventually(5_000, async () => {
      expect(n1.answered).toBeGreaterThan(2);
    });
    n1.reasons = [];
    await members;
    expect(notes).toEqual([]);
  });

  it('and gives up with the reasons of each, and of who does not answer', async () => {
    n1.reasons = [noCatalogue];
    await n2.close();
    const [one, two, three] = planned(n1, n3, n1);
    const gone = { ...(two as PlannedNode), name: 'n2', httpUrl: 'http://127.0.0.1:1' };
    if (one === undefined || three === undefined) throw new Error('three are planned');
    await expect(waitForReady([one, gone, ...planned(n3)], waiting({ timeoutMs: 200 }))).rejects.toThrow(
      `waited 0.2 s for n1, n2, n3 to be ready\n  n1: ${noCatalogue}\n  n2: it does not answer (`,
    );
  });

  it('and ends when it is stopped', async () => {
    n1.reasons = [noCatalogue];
    const members = waitForReady(planned(n1, n2, n3), waiting());
    stop.abort();
    await expect(members).rejects.toThrow(/abort/);
  });
});

describe('a start does not wait', () => {
  it('for a node that was removed, though that node believes to be a member', async () => {
    n2.reasons = ['the ledger has no leader'];
    n2.leader = undefined;
    n1.members = n3.members = ['n1', 'n3'];
    const members = await waitForReady(planned(n1, n2, n3), waiting());
    expect(members.map(({ id }) => id)).toEqual(['n1', 'n3']);
  });

  it('on the word of a member that is behind, or of one that led once: the leader is asked', async () => {
    n1.members = ['n1', 'n2'];
    n2.members = ['n2'];
    n2.leader = 'n2';
    n3.term = 7;
    n3.members = ['n1', 'n2', 'n3', 'n4?'];
    expect(await waitForReady(planned(n1, n2, n3), waiting())).toContainEqual({ id: 'n4', voter: false });
  });
});

describe('something to sell', () => {
  it('is what there is most of', async () => {
    const product = (sku: string, available: number) => ({ sku, available, currency: 'EUR' });
    n1.stock = [product('A', 1), product('B', 7), product('C', 2)];
    const [node] = planned(n1);
    expect((await waitForStock(node as PlannedNode, waiting())).sku).toBe('B');
  });

  it('is waited for, and missed by name', async () => {
    const [node] = planned(n1);
    await expect(waitForStock(node as PlannedNode, waiting({ timeoutMs: 100 }))).rejects.toThrow(
      'n1: nothing is in stock',
    );
  });
});
