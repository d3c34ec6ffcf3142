import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ConfigError, loadConfig } from '../../node/config.ts';

const peerIds = [
  '12D3KooWGBfKT3XSVmWTRnkpLyBKM4dqBKgFC9E5JwT6zUKnLpQa',
  '12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8',
  '12D3KooWLnZUpcaBwbz9uD1XsyyHnbXUrJRmxnsMiRnuCmvPix67',
];

const minimal = {
  node: 'n1',
  members: peerIds.map((peerId, index) => ({
    id: `n${String(index + 1)}`,
    peerId,
    address: `127.0.0.1:${String(9081 + index)}`,
  })),
  systemOfRecord: { url: 'postgres://shop:hunter2@db/shop' },
  payments: { apiKey: 'sk_test_hunter2', webhookSecret: 'whsec_hunter2' },
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'freehold-config-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function write(content: string | object): string {
  const file = join(directory, 'freehold.yaml');
  writeFileSync(file, typeof content === 'string' ? content : stringify(content));
  return file;
}

function problemsOf(content: string | object): readonly string[] {
  const file = write(content);
  try {
    loadConfig(file);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => problem.replace(file, 'F'));
    throw error;
  }
  return [];
}

describe('a configuration that says only what it must', () => {
  it('is completed with defaults, absolute paths and numbers in the units of their names', () => {
    const config = loadConfig(write(minimal));
    expect(config).toMatchObject({
      node: 'n1',
      zone: 'main',
      dataDirectory: join(directory, 'data'),
      http: { host: '127.0.0.1', port: 8080, requestTimeoutMs: 30_000 },
      disk: { reserveBytes: 512_000_000 },
      cluster: { found: false },
      orders: { holdForMs: 900_000, maxOpen: 5_000, takeOverAfterMs: 3_000 },
      payments: { apiBase: { protocol: 'https', host: 'api.stripe.com', port: 443 }, timeoutMs: 10_000 },
    });
    expect(config.members.map(({ address, zone, voter }) => ({ address, zone, voter }))[1]).toEqual({
      address: { host: '127.0.0.1', port: 9082 },
      zone: 'main',
      voter: true,
    });
  });

  it('cannot be changed afterwards', () => {
    const config = loadConfig(write(minimal));
    expect(() => {
      (config.members[0] as { id: string }).id = 'other';
    }).toThrow(TypeError);
  });

  it('shows its secrets to nobody who prints it', () => {
    const config = loadConfig(write(minimal));
    for (const printed of [JSON.stringify(config), inspect(config, { depth: 9, showHidden: true })])
      expect(printed).not.toContain('hunter2');
    expect(config.payments.apiKey.reveal()).toBe('sk_test_hunter2');
  });

  it('reads secrets from files, without the newline that editors leave', () => {
    writeFileSync(join(directory, 'key'), 'sk_live_1\n');
    writeFileSync(join(directory, 'url'), 'postgres://db/shop\n');
    const config = loadConfig(
      write({
        ...minimal,
        systemOfRecord: { urlFile: 'url' },
        payments: { apiKeyFile: './key', webhookSecret: 'w' },
      }),
    );
    expect(config.payments.apiKey.reveal()).toBe('sk_live_1');
    expect(config.systemOfRecord.url.reveal()).toBe('postgres://db/shop');
  });
});

describe('a system of record over HTTP', () => {
  it('has a URL and a token, each from a file where wanted, and fills no catalogue', () => {
    writeFileSync(join(directory, 'token'), 'hunter2\n');
    const systemOfRecord = { kind: 'http', url: 'https://erp.example/freehold', tokenFile: 'token' };
    const config = loadConfig(write({ ...minimal, systemOfRecord }));
    expect(config.systemOfRecord.kind).toBe('http');
    expect(config.systemOfRecord.url.reveal()).toBe('https://erp.example/freehold');
    expect(config.systemOfRecord.token?.reveal()).toBe('hunter2');
    expect(problemsOf({ ...minimal, systemOfRecord, catalog: 'c.csv' }).join()).toMatch(
      /catalog cannot fill/,
    );
  });
});

describe('a configuration with mistakes', () => {
  it('is refused with all of them at once, each with its place, key and reason', () => {
    const problems = problemsOf(
      [
        'node: n9',
        'http: {prot: 80}',
        'peers: {port: 70000}',
        'members:',
        `  - {id: n1, peerId: ${peerIds[0] ?? ''}, address: "127.0.0.1:9081"}`,
        `  - {id: n2, peerId: ${peerIds[0] ?? ''}, address: nowhere}`,
        'systemOfRecord: {}',
        'payments: {apiKey: hunter2, apiKeyFile: k, webhookSecret: x, timeout: 10}',
        'ordres: {}',
      ].join('\n'),
    );
    expect(problems).toEqual([
      'F:2:8: http.prot is not a known key; did you mean port?',
      'F:3:9: peers.port must be a whole number from 1 to 65535',
      'F:4:1: members must contain this node, n9',
      'F:4:1: members must have 1, 3 or 5 voters, not 2: an even number tolerates no more failures than one fewer',
      'F:6:14: members[1].peerId is already that of members[0]',
      'F:6:76: members[1].address must be host:port, such as 10.0.0.7:9081 or [::1]:9081',
      'F:7:1: systemOfRecord.url is required (or systemOfRecord.urlFile)',
      'F:8:12: payments.apiKey is given twice, also as apiKeyFile',
      'F:8:62: payments.timeout must be a duration with its unit, such as 10s or 15m',
      'F:9:1: ordres is not a known key; did you mean orders?',
    ]);
  });

  it.each([
    ['orders', { holdFor: '15 minutes' }, /orders\.holdFor must be a duration/],
    ['orders', { holdFor: '30d' }, /orders\.holdFor must be from 1s to 7d/],
    ['log', { level: 'loud' }, /log\.level must be one of: debug, info/],
    [
      'ledger',
      { heartbeat: '500ms', electionTimeout: '1s' },
      /electionTimeout must be at least five heartbeats/,
    ],
    ['http', 'localhost', /http must be a map/],
    ['http', { port: 9080 }, /peers\.port must differ from http\.port/],
    ['systemOfRecord', { url: 'mysql://root:hunter2@db' }, /must be a URL that starts with postgres/],
    [
      'systemOfRecord',
      { urlFile: 'missing' },
      /urlFile names a file that cannot be read, .*missing \(ENOENT\)/,
    ],
    ['systemOfRecord', { kind: 'http', url: 'postgres://db/shop' }, /must be a URL that starts with https/],
    ['systemOfRecord', { url: 'https://erp/freehold' }, /must be a URL that starts with postgres/],
    ['systemOfRecord', { url: 'postgres://db/shop', token: 'hunter2' }, /token is for .*kind http only/],
    ['members', null, /members has no value/],
    ['zone', 'eu west', /zone must be lower-case/],
  ])('%s: %j', (key, value, reason) => {
    const problems = problemsOf({ ...minimal, [key]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(reason);
    expect(problems.join()).not.toContain('hunter2');
  });

  it('may list any number of voters when this node is none of them: it joins those who are there', () => {
    const member = (index: number, voter: boolean) =>
      `  - {id: n${String(index + 1)}, peerId: ${peerIds[index] ?? ''}, address: "h${String(index)}:1", voter: ${String(voter)}}`;
    const listing = (voter: boolean) =>
      problemsOf(['node: n1', 'members:', member(0, voter), member(1, true), member(2, !voter)].join('\n'));
    const about = (problems: readonly string[]) => problems.filter((problem) => problem.includes('voters'));
    expect(about(listing(false))).toEqual([]);
    expect(about(listing(true))).toHaveLength(1);
  });

  it('names what is missing', () => {
    expect(problemsOf('')).toEqual([
      'F: node is required',
      'F: members is required',
      'F: systemOfRecord is required',
      'F: payments is required',
    ]);
  });

  it('points at what is not YAML, without quoting the line', () => {
    const problems = problemsOf('payments:\n  apiKey: "hunter2\nnode: n1\n');
    expect(problems[0]).toMatch(/^F:\d+:\d+: not valid YAML/);
    expect(problems.join()).not.toContain('hunter2');
  });

  it('says that a file is not there', () => {
    expect(() => loadConfig(join(directory, 'absent.yaml'))).toThrow(/cannot be read \(ENOENT\)/);
  });
});

it('the example that ships is valid but for the secrets, which only the operator has', () => {
  const example = readFileSync(join(import.meta.dirname, '../../deploy/freehold.example.yaml'), 'utf8');
  const problems = problemsOf(example);
  expect(problems).toHaveLength(3);
  for (const problem of problems) expect(problem).toMatch(/names a file that cannot be read/);
});
