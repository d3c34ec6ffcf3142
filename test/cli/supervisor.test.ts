import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askControl, controlSocketOf, listenForControl } from '../../node/cli/dev/control.ts';
import type { ControlRequest } from '../../node/cli/dev/control.ts';
import { noteFounded } from '../../node/cli/dev/founding.ts';
import { partsOf, planOf } from '../../node/cli/dev/plan.ts';
import type { Plan } from '../../node/cli/dev/plan.ts';
import { Roster } from '../../node/cli/dev/roster.ts';
import type { DevSettings } from '../../node/cli/dev/settings.ts';
import { Supervisor } from '../../node/cli/dev/supervisor.ts';
import { loadConfig } from '../../node/config.ts';
import { AnsweringNode } from './fixtures/answering-node.ts';

const peerIds: Readonly<Record<string, string>> = {
  n1: '12D3KooWGBfKT3XSVmWTRnkpLyBKM4dqBKgFC9E5JwT6zUKnLpQa',
  n2: '12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8',
  n3: '12D3KooWLnZUpcaBwbz9uD1XsyyHnbXUrJRmxnsMiRnuCmvPix67',
};
const newcomersPeerId = '12D3KooWMr5u3TYGcXSZbHMKWbG5ApXR8ZVPHBeuVSEBBG7DLVH2';

let directory: string;
let supervisor: Supervisor;
let plan: Plan;
let deaths: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'freehold-supervisor-'));
  deaths = [];
});
afterEach(() => {
  supervisor.abandon();
  rmSync(directory, { recursive: true, force: true });
});

/** Real processes, of a program that only says that it is up. */
function create(settings: Partial<DevSettings> = {}): Supervisor {
  const complete: DevSettings = {
    dataDirectory: directory,
    port: 21_000,
    catalog: join(directory, 'catalog.csv'),
    capture: 'immediate',
    systemOfRecordUrl: 'postgres://shop:hunter2@db.example/shop',
    logLevel: 'info',
    overrides: [],
    direct: false,
    ...settings,
  };
  const roster = Roster.open(complete);
  plan = planOf(complete, roster);
  supervisor = new Supervisor(
    { plan, settings: complete, roster },
    {
      main: join(import.meta.dirname, 'fixtures/service.ts'),
      peerIdIn: async (path) =>
        peerIds[/n\d/.exec(path.slice(directory.length))?.[0] ?? ''] ?? newcomersPeerId,
      progress: () => {},
      onDeath: ({ part, how }) => void deaths.push(`${part.name} ${how}`),
    },
  );
  return supervisor;
}

it('gives every node a configuration that is valid, and that says what was asked for', async () => {
  await create({ overrides: [['orders.holdFor', '20s'] as const] }).start();
  for (const node of plan.nodes) {
    const config = loadConfig(node.configFile);
    expect(config).toMatchObject({
      node: node.name,
      http: { port: node.httpPort },
      peers: { port: node.listenPort },
      dataDirectory: join(node.directory, 'data'),
      orders: { holdForMs: 20_000 },
      payments: { capture: 'immediate', apiBase: { protocol: 'http', port: plan.sandbox.port } },
    });
    expect(config.members.map(({ id, peerId }) => [id, peerId])).toEqual(Object.entries(peerIds));
  }
});

it('gives nodes a service over HTTP as their system of record, with its token and without a catalogue', async () => {
  await create({ systemOfRecordUrl: 'https://shop.example/books', systemOfRecordToken: 'hunter2' }).start();
  for (const { configFile } of plan.nodes) {
    const { systemOfRecord, catalog } = loadConfig(configFile);
    expect([systemOfRecord.kind, systemOfRecord.url.reveal(), systemOfRecord.token?.reveal()]).toEqual([
      'http',
      'https://shop.example/books',
      'hunter2',
    ]);
    expect(catalog).toBeUndefined();
  }
});

it('tells nodes to found the cluster until it stands once, and never one that is revived', async () => {
  const toldToFound = () =>
    plan.nodes
      .filter(({ logFile }) => readFileSync(logFile, 'utf8').includes('told to found'))
      .map(({ name }) => name);
  await create().start();
  expect(toldToFound()).toEqual(['n1', 'n2', 'n3']);
  for (const { dataDirectory } of plan.nodes) mkdirSync(dataDirectory, { recursive: true });
  await supervisor.control({ action: 'wipe', target: 'n2' });
  await supervisor.control({ action: 'revive', target: 'n2' });
  expect(toldToFound()).toEqual(['n1', 'n3']);
  await supervisor.stop();
  // It was not ready yet: whether it was founded is not known.
  await create().start();
  expect(toldToFound()).toEqual(['n1', 'n2', 'n3']);
  await supervisor.stop();
  noteFounded(plan);
  await create().start();
  expect(toldToFound()).toEqual([]);
});

it('refuses a --set that no node could use, before any node starts', async () => {
  await expect(create({ overrides: [['orders.holdfor', '20s'] as const] }).start()).rejects.toThrow(
    /orders\.holdfor is not a known key; did you mean holdFor\?/,
  );
  expect(plan.nodes.some((node) => existsSync(node.pidFile))).toBe(false);
});

it('plans ports and processes that do not meet', () => {
  const { systemOfRecordUrl: _named, ...embedded } = {
    dataDirectory: directory,
    port: 8081,
    catalog: '',
    capture: 'immediate',
    systemOfRecordUrl: '',
    logLevel: '',
    overrides: [],
    direct: false,
  } as const;
  create();
  const ports = partsOf(planOf(embedded)).flatMap((part) => part.ports);
  expect(ports).toEqual([9084, 9085, 8081, 9081, 9091, 8082, 9082, 9092, 8083, 9083, 9093]);
});

it('is told over its socket to kill, pause, resume and revive, and stops whatever state that left', async () => {
  await create().start();
  const socket = await listenForControl(directory, (request) => supervisor.control(request));
  const ask = (action: string, target?: string) =>
    askControl(directory, { action, ...(target === undefined ? {} : { target }) });
  try {
    expect(await ask('kill', 'n2')).toBe('node n2 is down');
    expect(deaths).toEqual(['n2 SIGKILL']);
    await expect(ask('kill', 'n2')).rejects.toThrow('node n2 is down');
    expect(await ask('revive', 'n2')).toMatch(/^node n2 is up at /);
    await expect(ask('revive', 'n2')).rejects.toThrow('is up, not down');
    expect(await ask('pause', 'n3')).toBe('node n3 is paused');
    expect(await ask('status')).toMatch(/^n1 +up +\d+\nn2 +up +\d+\nn3 +paused +\d+\nsandbox +up +\d+$/);
    expect(await ask('resume', 'n3')).toBe('node n3 goes on');
    await ask('pause', 'n1');
    await ask('kill', 'sandbox');
    await expect(ask('kill', 'n4')).rejects.toThrow('n4 is not a part of this cluster: n1, n2, n3, sandbox');
    await expect(ask('dance', 'n1')).rejects.toThrow('not something a running cluster can do');
    await expect(listenForControl(directory, async () => '')).rejects.toThrow(/already running in/);
  } finally {
    socket.close();
  }
  expect(await supervisor.stop()).toEqual([]);
  expect(partsOf(plan).filter((part) => existsSync(part.pidFile))).toEqual([]);
  await expect(ask('status')).rejects.toThrow(/no cluster is running/);
});

it('lets nodes meet at a proxy, under addresses that are the same for all and in every run', async () => {
  await create().start();
  for (const node of plan.nodes) {
    const { members, peers } = loadConfig(node.configFile);
    expect(members.map(({ address }) => address.port)).toEqual(plan.nodes.map(({ peerPort }) => peerPort));
    expect(peers.port).not.toBe(node.peerPort);
  }
});

it('lets nodes connect directly when asked to, and says that links cannot be cut then', async () => {
  await create({ direct: true }).start();
  for (const node of plan.nodes) expect(loadConfig(node.configFile).peers.port).toBe(node.peerPort);
  await expect(supervisor.control({ action: 'partition', target: 'n1' })).rejects.toThrow('--direct');
});

it('is told to cut, slow and mend links, says which are not well, and refuses what cannot be meant', async () => {
  await create().start();
  const ask = (action: string, rest: Partial<ControlRequest> = {}) => supervisor.control({ action, ...rest });
  const links = async () => (await ask('status')).split('\n').slice(plan.nodes.length + 1);

  expect(await ask('partition', { target: 'n2' })).toBe('node n2 is cut off from the others');
  expect(await links()).toEqual(['n1 → n2  cut', 'n2 → n1  cut', 'n2 → n3  cut', 'n3 → n2  cut']);
  expect(await ask('heal', { target: 'n3' })).toBe('the links of node n3 are whole');
  expect(await links()).toEqual(['n1 → n2  cut', 'n2 → n1  cut']);
  expect(await ask('slow', { target: 'n3', delay: '50ms' })).toBe(
    'what node n3 says and hears takes 50 ms longer',
  );
  expect(await ask('partition', { target: 'n3', other: 'n1', oneWay: 'in' })).toBe(
    'node n3 hears nothing from node n1',
  );
  expect(await links()).toEqual(['n1 → n2  cut', 'n1 → n3  cut', 'n2 → n1  cut', 'n3       slow by 50 ms']);
  expect(await ask('heal')).toBe('all links are whole');
  expect(await links()).toEqual([]);

  await expect(ask('partition', { target: 'sandbox' })).rejects.toThrow(
    'sandbox is not a node of this cluster: n1, n2, n3',
  );
  await expect(ask('partition', { target: 'n1', other: 'n1' })).rejects.toThrow('no link to itself');
  await expect(ask('partition', { target: 'n1', oneWay: 'up' })).rejects.toThrow('--one-way is in');
  await expect(ask('slow', { target: 'n1', delay: '50' })).rejects.toThrow('such as 50ms, not 50');
  expect(await links()).toEqual([]);
});

it('empties the disk of a node that runs, but for its key, and only of a node', async () => {
  await create().start();
  const data = plan.nodes[1]?.dataDirectory ?? '';
  mkdirSync(join(data, 'leveldb'), { recursive: true });
  for (const name of ['identity.key', 'format', 'lock', 'leveldb/000003.log'])
    writeFileSync(join(data, name), '');
  expect(await supervisor.control({ action: 'wipe', target: 'n2' })).toMatch(
    /^node n2 is down, and its disk/,
  );
  expect(readdirSync(data)).toEqual(['identity.key']);
  expect(await supervisor.control({ action: 'status' })).toMatch(/^n2 +down$/m);
  await supervisor.control({ action: 'revive', target: 'n2' });
  await expect(supervisor.control({ action: 'wipe', target: 'sandbox' })).rejects.toThrow(
    'only a node can be wiped, not the payment sandbox',
  );
});

describe('members that come and go', () => {
  /** The processes only say that they are up; this one speaks for the cluster, at the address of n1. */
  let leader: AnsweringNode;
  beforeEach(async () => {
    leader = await AnsweringNode.listen('n1', 21_000);
    leader.leader = 'n1';
    leader.members = ['n1', 'n2', 'n3'];
  });
  afterEach(() => leader.close());

  const ask = (action: string, target?: string) =>
    supervisor.control({ action, ...(target === undefined ? {} : { target }) });
  const states = async () =>
    Object.fromEntries(
      (await ask('status'))
        .split('\n')
        .filter((line) => line.startsWith('n'))
        .map((line) => [line.slice(0, 2), line.split(/\s+/)[1]]),
    );
  const runAgain = async () => {
    await supervisor.stop();
    noteFounded(plan);
    await create().start();
  };

  it('one that was added is started the next time, listed in all files and reached at the same place', async () => {
    await create().start();
    expect(await ask('add', 'n4')).toMatch(/^node n4 is up at http:\/\/127\.0\.0\.1:21003, and catches up/);
    expect(leader.asked).toEqual(['POST /cluster/members n4']);
    expect(await ask('status')).toMatch(/^n4 +up +\d+ +does not vote yet: .* members promote n4 --url http/m);
    expect(await ask('partition', 'n4')).toBe('node n4 is cut off from the others');
    leader.members = ['n1', 'n2', 'n3', 'n4'];

    await runAgain();
    expect(plan.nodes.map(({ name }) => name)).toEqual(['n1', 'n2', 'n3', 'n4']);
    expect(await states()).toEqual({ n1: 'up', n2: 'up', n3: 'up', n4: 'up' });
    for (const { configFile } of plan.nodes) {
      const { members } = loadConfig(configFile);
      expect(members.map(({ id, voter, address: { port } }) => [id, voter, port])).toEqual([
        ['n1', true, 22_000],
        ['n2', true, 22_001],
        ['n3', true, 22_002],
        ['n4', false, 22_023],
      ]);
    }
    expect(await ask('revive', 'n4').catch(String)).toMatch(/node n4 is up, not down/);
  });

  it('one that was removed is left out the next time, keeps its data, and is not revived', async () => {
    await create().start();
    await ask('kill', 'n2');
    leader.members = ['n1', 'n3'];
    const removed = join(directory, 'n2');
    expect(await ask('status')).toMatch(
      `n2       down              removed from the cluster; its data stays in ${removed}`,
    );
    await expect(ask('revive', 'n2')).rejects.toThrow(
      `node n2 was removed from the cluster, and the others do not let it in. Its data stays in ${removed}. ` +
        'For another one in its place: npm run freehold -- dev add n4',
    );
    const kept = readdirSync(removed);

    await runAgain();
    expect(plan.removed.map(({ name }) => name)).toEqual(['n2']);
    expect(await states()).toEqual({ n1: 'up', n2: 'down', n3: 'up' });
    expect(readdirSync(removed)).toEqual(expect.arrayContaining(kept));
    await leader.close();
    await expect(ask('revive', 'n2')).rejects.toThrow('was removed');
  });

  it('one of which nobody saw that it was removed is stopped once the others tell', async () => {
    await create().start();
    await supervisor.follow([
      { id: 'n1', voter: true },
      { id: 'n3', voter: true },
    ]);
    expect(deaths).toEqual([]);
    leader.members = ['n1', 'n3'];
    expect(await states()).toEqual({ n1: 'up', n2: 'down', n3: 'up' });
  });

  it('one that somebody has let in again can be revived', async () => {
    await create().start();
    await ask('kill', 'n2');
    leader.members = ['n1', 'n3'];
    await expect(ask('revive', 'n2')).rejects.toThrow('was removed');
    leader.members = ['n1', 'n3', 'n2?'];
    expect(await ask('revive', 'n2')).toMatch(/^node n2 is up at /);
  });

  it('one that was added and not let in says so, and is let in when it is added again', async () => {
    await create().start();
    await leader.close();
    await expect(ask('add', 'n4')).rejects.toThrow('n4 runs, and was not let in');
    expect(await ask('status')).toMatch(/^n4 +up +\d+ +not let in yet: npm run freehold -- dev add n4$/m);
    leader = await AnsweringNode.listen('n1', 21_000);
    leader.leader = 'n1';
    leader.members = ['n1', 'n2', 'n3'];
    expect(await ask('add', 'n4')).toMatch(/^node n4 is up/);
    await expect(ask('add', 'n4')).rejects.toThrow('n4 runs already');
    await expect(ask('add', 'n2')).rejects.toThrow('a new node is called n4 to n9, not n2');
  });

  it('a member that is run from elsewhere is named', async () => {
    leader.members = ['n1', 'n2', 'n3', 'till-9'];
    await create().start();
    expect(await ask('status')).toMatch(/^till-9 +a member that is not run from here$/m);
  });
});

it('takes over the socket of a run that was killed', async () => {
  create();
  const first = await listenForControl(directory, async () => 'first');
  first.close();
  const second = await listenForControl(directory, async () => 'second');
  expect(await askControl(directory, { action: 'status' })).toBe('second');
  second.close();
});

it('finds a socket path short enough wherever the data is', () => {
  create();
  const deep = join('/tmp', 'x'.repeat(200));
  expect(Buffer.byteLength(controlSocketOf(deep))).toBeLessThanOrEqual(100);
  expect(controlSocketOf(deep)).not.toBe(controlSocketOf(`${deep}y`));
});

it('keeps the files that hold secrets to their owner', async () => {
  await create().start();
  const [node] = plan.nodes;
  const { statSync } = await import('node:fs');
  expect(statSync(node?.configFile ?? '').mode & 0o077).toBe(0);
  expect(readFileSync(node?.configFile ?? '', 'utf8')).toContain('hunter2');
});
