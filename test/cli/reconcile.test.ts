import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { runCommand } from '../../node/cli/commands.ts';
import type { CommandContext } from '../../node/cli/context.ts';

/** `freehold reconcile` against HTTP servers that answer as nodes would, and keep what they were asked. */
const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

type Answer = (asked: string, body: string) => { readonly status?: number; readonly body: object };

async function node(answer: Answer): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    let sent = '';
    request.on('data', (chunk: Buffer) => (sent += chunk.toString()));
    request.on('end', () => {
      const line = `${request.method ?? ''} ${request.url ?? ''}`;
      asked.push(sent === '' ? line : `${line} ${sent}`);
      const { status = 200, body } = answer(line, sent);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, asked };
}

async function run(
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly said: string; readonly complained: string }> {
  const [lines, complaints]: [string[], string[]] = [[], []];
  const context = {
    stop: new AbortController().signal,
    print: (line: string) => void lines.push(line),
    printError: (line: string) => void complaints.push(line),
  } as Partial<CommandContext> as CommandContext;
  const code = await runCommand(['reconcile', ...args], context);
  return { code, said: lines.join('\n'), complained: complaints.join('\n') };
}

const clean = {
  startedAt: 1,
  finishedAt: 2_001,
  comparedFrom: 0,
  comparedUntil: 1,
  compared: { orders: 4, payments: 3 },
  differences: [],
  unchecked: 0,
  notes: ['orders before then are forgotten'],
};
const difference = {
  code: 'CHARGED_TWICE',
  orderId: 'ord_1',
  figures: { journal: 'fulfilled, 5 EUR', provider: 'pi_1: captured 5 EUR; pi_2: captured 5 EUR' },
  advice: 'Refund all but one.',
};
const notLeader = { status: 409, body: { code: 'NOT_LEADER', detail: 'n2 leads the ledger: ask it.' } };

describe('freehold reconcile report', () => {
  it('exits with 0 when nothing differs, and says what was compared', async () => {
    const { url, asked } = await node(() => ({ body: clean }));
    const { code, said } = await run('report', '--url', url);
    expect(code).toBe(0);
    expect(said).toContain('0 differences; compared 4 orders, 3 payments in 2.0 s');
    expect(said).toContain('forgotten');
    expect(asked).toEqual(['GET /reconcilers/report']);
  });

  it('exits with 1 when something does, and says what each book has and what to do', async () => {
    const { url } = await node(() => ({ body: { ...clean, differences: [difference] } }));
    const { code, said } = await run('report', '--url', url);
    expect(code).toBe(1);
    expect(said).toContain('CHARGED_TWICE  ord_1\n    journal: fulfilled, 5 EUR\n    provider: pi_1');
    expect(said).toContain('→ Refund all but one.');
    const { said: json } = await run('report', '--json', '--url', url);
    expect(JSON.parse(json)).toMatchObject({ differences: [difference] });
  });

  it('exits with 2 when a book could not be read, or nobody answers', async () => {
    const detail = 'provider: RATE_LIMITED';
    const { url } = await node(() => ({ status: 503, body: { code: 'BOOK_UNAVAILABLE', detail } }));
    const { code, complained } = await run('report', '--url', url);
    expect([code, complained]).toEqual([
      2,
      'freehold reconcile: not compared: provider: RATE_LIMITED (BOOK_UNAVAILABLE)',
    ]);
    expect((await run('report', '--url', 'http://127.0.0.1:9')).code).toBe(2);
  });

  it.each([
    ['a page', 404, 'text/html', '<html>Not Found</html>'],
    ['JSON of its own', 404, 'application/json', '{"error":"no such route"}'],
    ['something else', 200, 'application/json', '{"hello":"world"}'],
  ])('says so when it is no node that answers, but %s', async (_what, status, media, text) => {
    const server = createServer((_request, response) =>
      response.writeHead(status, { 'content-type': media }).end(text),
    );
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, complained } = await run('report', '--url', url);
    expect(code).toBe(2);
    expect(complained).toMatch(`not compared: ${url} does not answer as a node does`);
  });

  it('asks the node that leads, among those that it was told of', async () => {
    const follower = await node(() => notLeader);
    const leader = await node(() => ({ body: clean }));
    const { code } = await run(
      'report',
      '--since',
      '2026-11-01T00:00Z',
      '--url',
      follower.url,
      '--url',
      leader.url,
    );
    expect(code).toBe(0);
    expect(leader.asked).toEqual([`GET /reconcilers/report?since=${Date.UTC(2026, 10, 1)}`]);
    expect((await run('report', '--url', follower.url)).complained).toContain('n2 leads the ledger');
  });
});

describe('freehold reconcile parked', () => {
  it('lists every page', async () => {
    const one = { orderId: 'ord_1', code: 'UNKNOWN_SKU', reason: 'UNKNOWN_SKU: TEA', at: 0 };
    const { url } = await node((asked) =>
      asked.includes('after=x!')
        ? { body: { parked: [{ ...one, orderId: 'ord_2' }] } }
        : { body: { parked: [one], next: 'x!' } },
    );
    const { code, said } = await run('parked', '--url', url);
    expect([code, said]).toEqual([
      0,
      'ord_1  since 1970-01-01T00:00:00.000Z  UNKNOWN_SKU: TEA\n' +
        'ord_2  since 1970-01-01T00:00:00.000Z  UNKNOWN_SKU: TEA\n2 parked',
    ]);
  });

  it('retries, and says whether it was taken', async () => {
    const { url, asked } = await node(() => ({ body: { orderId: 'ord_1', delivered: true } }));
    expect(await run('parked', 'retry', 'ord_1', '--url', url)).toMatchObject({
      code: 0,
      said: 'ord_1 is delivered',
    });
    expect(asked).toEqual(['POST /reconcilers/parked/ord_1/retry']);
    const again = await node(() => ({
      body: { orderId: 'ord_1', delivered: false, reason: 'UNKNOWN_SKU: TEA' },
    }));
    const refused = await run('parked', 'retry', 'ord_1', '--url', again.url);
    expect([refused.code, refused.said]).toEqual([1, 'refused again: UNKNOWN_SKU: TEA']);
  });

  it('discards with a reason and a name, and not without', async () => {
    const { url, asked } = await node((_, body) => ({ body: JSON.parse(body) as object }));
    const discard = ['parked', 'discard', 'ord_1', '--url', url, '--by', 'ada'];
    expect((await run(...discard)).code).toBe(2);
    expect((await run(...discard, '--reason', 'entered by hand')).code).toBe(0);
    expect(asked).toEqual(['POST /reconcilers/parked/ord_1/discard {"reason":"entered by hand","by":"ada"}']);
  });

  it.each([['tidy'], ['parked', 'burn'], ['parked', 'retry'], ['report', '--since', 'soon'], []])(
    'exits with 2 for what cannot be meant: %s %s',
    async (...args) => {
      expect((await run(...args.filter((arg) => typeof arg === 'string'))).code).toBe(2);
    },
  );
});
