import { expect, test } from 'vitest';
import { Recovery } from '../../store/journal/recovery.ts';
import { bytes, TestCluster } from './cluster.ts';

const vector = (positions: Record<string, number> = {}): ReadonlyMap<string, number> =>
  new Map(Object.entries(positions));

const trio = { self: 'n1', peers: () => ['n2', 'n3'], isListCurrent: () => true };

test('a disk that forgot everything waits for who is a member now, and for the list to be the newest', () => {
  const list = { peers: ['n2', 'n3'], current: false };
  const forgetful = new Recovery({
    self: 'n1',
    peers: () => list.peers,
    isListCurrent: () => list.current,
    whole: false,
    patienceEndsAt: 100,
  });
  forgetful.heard('n2', vector({ n3: 7 }));
  expect(forgetful.poll(1_000, vector({ n3: 7 }))).toBe('relearning');
  // n3 is dead, and n4 takes its place: what n4 holds has to be heard first.
  list.peers = ['n2', 'n4'];
  expect(forgetful.missing).toEqual(['n4']);
  forgetful.heard('n4', vector({ n4: 2 }));
  expect(forgetful.poll(1_000, vector({ n3: 7, n4: 2 }))).toBe('relearning');
  list.current = true;
  expect(forgetful.poll(1_000, vector({ n3: 7 }))).toBe('relearning');
  expect(forgetful.poll(1_000, vector({ n3: 7, n4: 2 }))).toBe('open');
});

test('a disk that looks whole waits for its peers, but not for ever', () => {
  const options = { ...trio, whole: true, patienceEndsAt: 100 };
  const quick = new Recovery(options);
  quick.heard('n2', vector({ n1: 5 }));
  expect(quick.poll(0, vector({ n1: 5 }))).toBe('starting');
  quick.heard('n3', vector({ n1: 3, n3: 9 }));
  expect(quick.poll(0, vector({ n1: 5 }))).toBe('open');
  const alone = new Recovery(options);
  expect(alone.poll(99, vector({ n1: 5 }))).toBe('starting');
  expect(alone.poll(100, vector({ n1: 5 }))).toBe('open');
});

test('a disk that lost its tail, or everything, is open only after all members were heard and caught up with', () => {
  const shortened = new Recovery({ ...trio, whole: true, patienceEndsAt: 100 });
  shortened.heard('n2', vector({ n1: 6 }));
  expect(shortened.poll(0, vector({ n1: 5 }))).toBe('relearning');
  expect(shortened.poll(1_000, vector({ n1: 6 }))).toBe('relearning');
  shortened.heard('n3', vector({ n1: 6, n3: 2 }));
  expect(shortened.poll(1_000, vector({ n1: 6 }))).toBe('relearning');
  expect(shortened.poll(1_000, vector({ n1: 6, n3: 2 }))).toBe('open');
});

test('a wiped node relearns its own journal before it appends, and uses no sequence twice', async () => {
  const cluster = await TestCluster.open({ seed: 20, size: 3 });
  for (let index = 1; index <= 50; index++) {
    cluster.journal('n3').append(bytes(`first life ${index}`), { durability: 'local' });
  }
  await cluster.converge();
  const before = await cluster.contents('n1');
  cluster.kill('n3');
  cluster.wipe('n3');
  const { journal } = await cluster.start('n3');
  expect(() => journal.append(bytes('too early'), { durability: 'local' })).toThrow('UNAVAILABLE');
  await cluster.opened(['n3']);
  expect(journal.append(bytes('second life'), { durability: 'local' }).position.sequence).toBe(51);
  await cluster.converge();
  for (const id of cluster.ids) expect(await cluster.contents(id)).toEqual([...before, 'n3:51=second life']);
});

test('a wiped node with nobody to ask waits, and callers that wait for it time out', async () => {
  const cluster = await TestCluster.open({ seed: 21, size: 3 });
  cluster.journal('n3').append(bytes('kept elsewhere'), { durability: 'quorum' });
  await cluster.converge();
  cluster.kill('n3');
  cluster.wipe('n3');
  cluster.network.partition([['n1', 'n2'], ['n3']]);
  const { journal } = await cluster.start('n3');
  const early = journal.register('order', bytes('early'), { timeoutMs: 1_000 });
  expect(await cluster.clock.resolve(early, { withinMs: 2_000 })).toEqual({
    verdict: { kind: 'unavailable' },
  });
  const patient = journal.register('order', bytes('patient'), { timeoutMs: 10_000 });
  await cluster.clock.advance(5_000);
  expect(journal.stats()).toMatchObject({ phase: 'relearning', unheard: ['n1', 'n2'], waiting: 1 });
  cluster.network.heal();
  expect(await cluster.clock.resolve(patient, { withinMs: 5_000 })).toEqual({
    position: { origin: 'n3', sequence: 2 },
    verdict: { kind: 'won' },
  });
});

test('a wiped voter gives no second vote: it abstains where it may have voted', async () => {
  const cluster = await TestCluster.open({ seed: 22, size: 3 });
  // n1 wins with the votes of n1 and n3; n2 meanwhile registered the same order, and is refused by n3.
  cluster.network.partition([['n1', 'n3'], ['n2']]);
  const first = cluster.journal('n1').register('order', bytes('first'), { timeoutMs: 2_000 });
  expect((await cluster.clock.resolve(first, { withinMs: 2_000 })).verdict).toEqual({ kind: 'won' });
  const second = cluster.journal('n2').register('order', bytes('second'), { timeoutMs: 20_000 });
  await cluster.clock.advance(100);
  cluster.kill('n3');
  cluster.wipe('n3');
  await cluster.start('n3');
  cluster.network.partition([['n1'], ['n2', 'n3']]);
  await cluster.clock.advance(5_000);
  cluster.network.heal();
  const { verdict } = await cluster.clock.resolve(second, { withinMs: 20_000 });
  expect(verdict.kind).not.toBe('won');
  expect(verdict.kind).not.toBe('split');
});

test('a node whose disk lost its tail relearns it; one that went on without it stops', async () => {
  const tail = async (seed: number): Promise<TestCluster> => {
    const cluster = await TestCluster.open({ seed, size: 3 });
    for (let index = 1; index <= 20; index++) {
      cluster.journal('n1').append(bytes(`entry ${index}`), { durability: 'local' });
    }
    await cluster.converge();
    cluster.kill('n1');
    for (const key of cluster.disk('n1').keys('journal/entry/n1/').slice(10))
      cluster.disk('n1').dropRecord(key);
    return cluster;
  };

  const heard = await tail(23);
  await heard.start('n1');
  await heard.opened();
  expect(heard.journal('n1').append(bytes('next'), { durability: 'local' }).position.sequence).toBe(21);
  expect(heard.fatalErrors()).toEqual([]);

  const quiet = await tail(24);
  quiet.network.partition([['n1'], ['n2', 'n3']]);
  await quiet.start('n1');
  await quiet.opened(['n1']);
  quiet.network.heal();
  await quiet.converge();
  await quiet.opened();
  expect(quiet.journal('n1').append(bytes('next'), { durability: 'local' }).position.sequence).toBe(21);
  expect(quiet.fatalErrors()).toEqual([]);

  const forked = await tail(25);
  forked.network.partition([['n1'], ['n2', 'n3']]);
  await forked.start('n1');
  await forked.opened(['n1']);
  const { durable } = forked.journal('n1').append(bytes('fork'), { durability: 'quorum', timeoutMs: 60_000 });
  const outcome = durable.then(
    () => 'durable',
    () => 'refused',
  );
  forked.network.heal();
  await forked.clock.advance(5_000);
  expect(forked.node('n1').environment.fatalErrors.map(String)).toEqual([
    expect.stringContaining('lost its end'),
  ]);
  expect(await outcome).toBe('refused');
});

test('a damaged or missing entry is fetched and rewritten, never served', async () => {
  const cluster = await TestCluster.open({ seed: 26, size: 3 });
  for (let index = 1; index <= 300; index++) {
    cluster.journal('n1').append(bytes(`entry ${index}`), { durability: 'local' });
  }
  await cluster.converge();
  const before = await cluster.contents('n3');
  const keys = cluster.disk('n3').keys('journal/entry/n1/');
  cluster.disk('n3').flipBit(keys[40] ?? '', 100);
  cluster.disk('n3').dropRecord(keys[41] ?? '');
  cluster.disk('n3').flipBit(keys[299] ?? '', 3);
  cluster.kill('n3');
  await cluster.start('n3');
  await cluster.opened();
  expect(await cluster.contents('n3')).toEqual(before);
  expect(cluster.journal('n3').stats().repairedEntries).toBeGreaterThanOrEqual(3);
  cluster.kill('n1');
  cluster.kill('n2');
  expect(await cluster.contents('n3')).toEqual(before);
});

test('a damaged entry that nobody else has stops the node; while some cannot be asked, reading fails', async () => {
  const cluster = await TestCluster.open({ seed: 27, size: 3 });
  cluster.network.partition([['n1'], ['n2', 'n3']]);
  const { journal, environment } = cluster.node('n1');
  await cluster.clock.resolve(journal.append(bytes('only here'), { durability: 'local' }).durable, {
    withinMs: 100,
  });
  cluster.disk('n1').flipBit(cluster.disk('n1').keys('journal/entry/n1/')[0] ?? '', 77);
  const read = (): Promise<string> =>
    journal.read('n1', 1, 10).then(
      () => 'served',
      (error: unknown) => String(error),
    );
  expect(await cluster.clock.resolve(read(), { withinMs: 10_000 })).toContain('UNAVAILABLE');
  expect(environment.fatalErrors).toEqual([]);
  for (const id of ['n2', 'n3']) {
    cluster.kill(id);
    cluster.wipe(id);
  }
  await journal.close();
  cluster.network.heal();
  cluster.kill('n1');
  await cluster.start('n1');
  for (const id of ['n2', 'n3']) await cluster.start(id);
  const again = cluster.node('n1');
  await cluster.clock.until(() => again.environment.fatalErrors.length > 0, { withinMs: 10_000 });
  expect(String(again.environment.fatalErrors[0])).toContain('n1:1 is damaged');
});
