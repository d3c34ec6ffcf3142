import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startEmbeddedSystemOfRecord } from '../../node/reconcilers/embedded.ts';
import { sql } from './support/fixtures.ts';

let dataDirectory: string;
beforeEach(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), 'freehold-embedded-'));
});
afterEach(() => rm(dataDirectory, { recursive: true, force: true }));

const start = () => startEmbeddedSystemOfRecord({ dataDirectory, host: '127.0.0.1', port: 0 });

it('keeps its data over a restart, and one process at a time', async () => {
  const first = await start();
  await sql(first.url, 'CREATE TABLE t AS SELECT 7 AS n');
  expect(await sql(first.url, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
  await first.close();
  // What a process leaves behind that was killed; its number is taken by another, or by nobody.
  const second = await start();
  expect(await sql(second.url, 'SELECT n FROM t')).toEqual([{ n: 7 }]);
  await second.close();
}, 60_000);

it('refuses a data directory that another process holds', async () => {
  const holder = spawnEmbedded();
  await holder.url;
  await expect(start()).rejects.toMatchObject({ code: 'DATA_DIRECTORY_IN_USE' });
  holder.kill();
  await holder.gone;
  const next = await start();
  await next.close();
}, 60_000);

it('has what was committed before it was killed, and nothing of what was not', async () => {
  const server = spawnEmbedded();
  const url = await server.url;
  await sql(url, 'CREATE TABLE t (n integer)');
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  for (let n = 1; n <= 50; n += 1) await client.query('INSERT INTO t VALUES ($1)', [n]);
  await client.query('BEGIN');
  await client.query('INSERT INTO t VALUES (51)');
  server.kill();
  await server.gone;
  const again = await start();
  expect(await sql(again.url, 'SELECT count(*)::integer AS n, max(n) AS last FROM t')).toEqual([
    { n: 50, last: 50 },
  ]);
  await again.close();
}, 60_000);

it('goes on after a client vanished in mid-transaction or talked nonsense', async () => {
  const server = await start();
  const client = new pg.Client({ connectionString: server.url });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN');
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  expect(await sql(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);

  const stranger = connect(Number(new URL(server.url).port), '127.0.0.1');
  stranger.write('GET / HTTP/1.1\r\n\r\n');
  await once(stranger, 'connect');
  expect(await sql(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  stranger.destroy();
  await server.close();
}, 60_000);

it.each([
  ['after an error', [parse('nonsense')]],
  ['after an error in a transaction', [query('BEGIN'), parse('nonsense')]],
  ['before what it prepared', [query('BEGIN'), parse('SELECT 1')]],
  ['within a message', [query('BEGIN'), parse('SELECT 1').subarray(0, 7)]],
])(
  'answers the others when a client leaves %s, before its Sync (E4)',
  async (_, messages) => {
    const server = await start();
    const client = connect(Number(new URL(server.url).port), '127.0.0.1');
    const parameters = Buffer.from('user\0postgres\0database\0postgres\0\0');
    const head = Buffer.alloc(8);
    head.writeInt32BE(head.length + parameters.length, 0);
    head.writeInt32BE(3 << 16, 4);
    for (const message of [Buffer.concat([head, parameters]), ...messages]) {
      client.write(message);
      await Promise.race([once(client, 'data'), delay(100)]);
    }
    client.destroy();
    await delay(50);
    const others = Array.from({ length: 3 }, () => sql(server.url, 'SELECT $1::integer AS n', [7]));
    expect(await Promise.race([Promise.all(others), delay(5_000)])).toEqual([
      [{ n: 7 }],
      [{ n: 7 }],
      [{ n: 7 }],
    ]);
    await server.close();
  },
  60_000,
);

function message(type: string, body: string, tail = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.concat([Buffer.from(`${body}\0`), tail]);
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(4 + bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function query(text: string): Buffer {
  return message('Q', text);
}

/** Of a statement without a name, whose parameters' types are for the server to find. */
function parse(text: string): Buffer {
  return message('P', `\0${text}`, Buffer.alloc(2));
}

/** The embedded server in a process of its own, to be killed. */
function spawnEmbedded() {
  const module = new URL('../../node/reconcilers/embedded.ts', import.meta.url).href;
  const script = `
    const { startEmbeddedSystemOfRecord } = await import(${JSON.stringify(module)});
    const { url } = await startEmbeddedSystemOfRecord({ dataDirectory: process.argv[1], host: '127.0.0.1', port: 0 });
    console.log(url);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dataDirectory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit');
  const url = once(child.stdout, 'data').then(([chunk]) => String(chunk).trim());
  return { url, gone, kill: () => child.kill('SIGKILL') };
}
