import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const main = join(import.meta.dirname, '../../node/main.ts');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'freehold-cli-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

interface Run {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** Runs the real program. */
function freehold(args: readonly string[], environment: Record<string, string> = {}): Promise<Run> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, FREEHOLD_DATA: directory, ...environment };
    const child = execFile(process.execPath, [main, ...args], { env }, (_error, out, error) => {
      resolve({ code: child.exitCode ?? -1, out, error });
    });
  });
}

describe('what is typed in a way that cannot be meant ends with code 2, a reason and a hint', () => {
  it.each([
    [[], /Usage: freehold COMMAND/],
    [['nod'], /nod is not a command\. Did you mean node\?/],
    [['xyzzy'], /xyzzy is not a command\. `freehold --help`/],
    [['node'], /--config is required/],
    [['node', '--confg', 'x'], /unknown option --confg; did you mean --config\?/],
    [['node', '--config', 'x', 'y'], /unexpected argument y/],
    [['node', '--config', '/nowhere.yaml'], /\/nowhere\.yaml: cannot be read \(ENOENT\)/],
    [['check-config'], /FILE is missing/],
    [['identity'], /--data is required/],
    [['members', 'promot', 'n4'], /promot is not one of list, add, promote/],
    [['members', 'promote'], /NODE is missing/],
    [['members', 'add', 'n4', '--address', 'h:1'], /--peer-id is required/],
    [['members', 'promote', 'n4', '--wait', 'soon'], /--wait must be a duration/],
    [['members', '--url', 'nowhere'], /--url must be such as/],
    [['sor', '--data', 'x', '--port', 'http'], /--port must be a port number/],
    [['dev', 'kil', 'n2'], /kil is not an action; did you mean kill\?/],
    [['dev', 'kill'], /PART is missing/],
    [['dev', 'partition'], /NODE is missing/],
    [['dev', 'partition', 'n1', 'n2', 'n3'], /unexpected argument n3/],
    [['dev', 'partition', 'n1', '--oneway', 'in'], /unknown option --oneway; did you mean --one-way\?/],
    [['dev', 'slow', 'n1'], /DELAY is missing/],
    [['dev', 'status', '--signal', 'SIGKILL'], /unknown option --signal/],
    [['dev', '--set', 'nothing'], /--set must be KEY=VALUE/],
  ] as const)('freehold %j', async (args, reason) => {
    const run = await freehold(args);
    expect(run.error).toMatch(reason);
    expect(run.error).not.toMatch(/\n {4}at /);
    expect(run).toMatchObject({ code: 2, out: '' });
  });

  it.each([
    [{ FREEHOLD_PORT: '80a' }, /FREEHOLD_PORT must be a port number from 1 to 64000, not 80a/],
    [{ FREEHOLD_PORT: '65000' }, /FREEHOLD_PORT must be a port number from 1 to 64000, not 65000/],
    [{ FREEHOLD_PORT: '0' }, /FREEHOLD_PORT must be a port number from 1 to 64000, not 0/],
    [{ FREEHOLD_CAPTURE: 'later' }, /FREEHOLD_CAPTURE must be after-reserve or immediate, not later/],
    [{ FREEHOLD_CATALOG: '/nowhere.csv' }, /FREEHOLD_CATALOG: ENOENT.*\/nowhere\.csv/],
  ])('freehold dev with %j', async (environment, reason) => {
    const run = await freehold(['dev'], environment);
    expect(run.error).toMatch(reason);
    expect(run.code).toBe(2);
  });
});

it('names whoever runs it where USER is not set, as in a container', async () => {
  let asked = '';
  const node = createHttpServer((request, response) => {
    request.on('data', (chunk: Buffer) => (asked += chunk.toString()));
    request.on('end', () => response.writeHead(201).end('{"onHand":1}'));
  });
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(node.address() as AddressInfo).port}`;
  const run = await freehold(['stock', 'adjust', 'TEA', '--by', '1', '--reason', 'x', '--url', url]);
  node.close();
  expect(run.code).toBe(0);
  expect(JSON.parse(asked)).toMatchObject({ by: userInfo().username });
});

describe('help', () => {
  it.each(['--help', '-h', 'help'])('freehold %s lists the commands', async (option) => {
    const run = await freehold([option]);
    expect(run.code).toBe(0);
    for (const name of ['dev', 'node', 'check-config', 'identity', 'members', 'sor', 'sandbox'])
      expect(run.out).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  it.each(['dev', 'node', 'check-config', 'identity', 'members', 'sor', 'sandbox'])(
    'freehold %s --help explains it',
    async (name) => {
      const run = await freehold([name, '--help']);
      expect(run).toMatchObject({ code: 0, error: '' });
      expect(run.out).toMatch(new RegExp(`^Usage: freehold ${name}`));
    },
  );

  it('freehold dev --help keeps the variables and their meanings apart', async () => {
    const { out } = await freehold(['dev', '--help']);
    const named = out.split('\n').filter((line) => line.startsWith('  FREEHOLD_'));
    expect(named.length).toBeGreaterThan(5);
    for (const line of named) expect(line).toMatch(/^ {2}FREEHOLD_[A-Z_]+ {2,}\S/);
  });

  it('freehold --version is that of the package', async () => {
    expect((await freehold(['--version'])).out).toMatch(/^freehold \d+\.\d+\.\d+\n$/);
  });
});

it('check-config says what is wrong, where, or that nothing is', async () => {
  const file = join(directory, 'freehold.yaml');
  writeFileSync(file, 'node: n1\nmembres: []\n');
  const bad = await freehold(['check-config', file]);
  expect(bad.code).toBe(2);
  expect(bad.error).toContain(`${file}:2:1: membres is not a known key; did you mean members?`);

  writeFileSync(
    file,
    `node: n1
members: [{ id: n1, peerId: 12D3KooWGBfKT3XSVmWTRnkpLyBKM4dqBKgFC9E5JwT6zUKnLpQa, address: "127.0.0.1:9080" }]
systemOfRecord: { url: "postgres://db/shop" }
payments: { apiKey: sk_test_1, webhookSecret: whsec_1 }
`,
  );
  const good = await freehold(['check-config', file]);
  expect(good).toMatchObject({ code: 0, error: '' });
  expect(good.out).toContain('n1 in zone main, 1 members, 1 of them voters');
});

it('a node that cannot trust its data directory ends with code 70, and its last log line says why', async () => {
  const file = join(directory, 'freehold.yaml');
  writeFileSync(
    file,
    `node: n1
data: ./data
members: [{ id: n1, peerId: 12D3KooWGBfKT3XSVmWTRnkpLyBKM4dqBKgFC9E5JwT6zUKnLpQa, address: "127.0.0.1:9080" }]
systemOfRecord: { url: "postgres://db/shop" }
payments: { apiKey: sk_test_1, webhookSecret: whsec_1 }
`,
  );
  mkdirSync(join(directory, 'data'));
  writeFileSync(join(directory, 'data', 'identity.key'), 'nonsense');
  const run = await freehold(['node', '--config', file]);
  expect(run.code).toBe(70);
  expect(run.error).toMatch(/^freehold node: IDENTITY_UNREADABLE: .* restore it from a backup.*\n$/);
  expect(JSON.parse(run.out.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
    level: 50,
    msg: expect.stringMatching(/^not starting, .*IDENTITY_UNREADABLE/) as string,
  });
});

it('a key that cannot be read here is not called damaged', async () => {
  const file = join(directory, 'a-file');
  writeFileSync(file, '');
  const run = await freehold(['identity', '--data', file]);
  expect(run.error).toMatch(
    /IDENTITY_UNREADABLE: cannot use .*a-file\/identity\.key \(ENOTDIR\); the data directory has to be/,
  );
  expect(run.error).not.toMatch(/remove|backup/);
});

it('dev refuses to start on ports that are taken, names them and the variable that moves them', async () => {
  const catalog = join(directory, 'catalog.csv');
  writeFileSync(catalog, 'sku,name,price_minor,currency,on_hand\nA,A,100,EUR,5\n');
  const blocker = createServer();
  await new Promise<void>((resolve) => {
    blocker.listen(0, '127.0.0.1', resolve);
  });
  try {
    const { port } = blocker.address() as AddressInfo;
    const run = await freehold(['dev'], { FREEHOLD_PORT: String(port - 1_000), FREEHOLD_CATALOG: catalog });
    // Another program may sit on one of its neighbours.
    expect(run.error).toMatch(
      new RegExp(`ports? ${String(port)} \\(for node n1\\).* on 127\\.0\\.0\\.1 already in use`),
    );
    expect(run.error).toContain('Set FREEHOLD_PORT');
    expect(run.code).toBe(1);
  } finally {
    blocker.close();
  }
});

it('an action without a running cluster says so', async () => {
  const run = await freehold(['dev', 'kill', 'n2']);
  expect(run.error).toContain(`no cluster is running in ${directory}`);
  expect(run.code).toBe(1);
});

it('a variable that looks like ours and is not is pointed out', async () => {
  const run = await freehold(['dev'], { FREEHOLD_PROT: '1', FREEHOLD_CATALOG: '/nowhere.csv' });
  expect(run.error).toContain('FREEHOLD_PROT is set, but has no meaning here; did you mean FREEHOLD_PORT?');
});
