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
import { afterEach, beforeEach, expect, it } from 'vitest';
import { askControl, controlSocketOf, listenForControl } from '../../node/cli/dev/control.ts';
import type { ControlRequest } from '../../node/cli/dev/control.ts';
import { noteFounded } from '../../node/cli/dev/founding.ts';
import { partsOf, planOf } from '../../node/cli/dev/plan.ts';
import type { Plan } from '../../node/cli/dev/plan.ts';
import type { DevSettings } from '../../node/cli/dev/settings.ts';
import { Supervisor } from '../../node/cli/dev/supervisor.ts';
import { loadConfig } from '../../node/config.ts';

const peerIds: Readonly<Record<string, string>> = {
  n1: '12D3KooWGBfKT3XSVmWTRnkpLyBKM4dqBKgFC9E5JwT6zUKnLpQa',
  n2: '12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8',
  n3: '12D3KooWLnZUpcaBwbz9uD1XsyyHnbXUrJRmxnsMiRnuCmvPix67',
};

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
  plan = planOf(complete);
  supervisor = new Supervisor(
    { plan, settings: complete },
    {
      main: join(import.meta.dirname, 'fixtures/service.ts'),
      peerIdIn: async (path) => peerIds[/n\d/.exec(path.slice(directory.length))?.[0] ?? ''] ?? '',
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
