import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { askControl, controlSocketOf, listenForControl } from '../../node/cli/dev/control.ts';
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
      peers: { port: node.peerPort },
      dataDirectory: join(node.directory, 'data'),
      orders: { holdForMs: 20_000 },
      payments: { capture: 'immediate', apiBase: { protocol: 'http', port: plan.sandbox.port } },
    });
    expect(config.members.map(({ id, peerId }) => [id, peerId])).toEqual(Object.entries(peerIds));
  }
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
  } as const;
  create();
  const ports = partsOf(planOf(embedded)).flatMap((part) => part.ports);
  expect(ports).toEqual([9084, 9085, 8081, 9081, 8082, 9082, 8083, 9083]);
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
