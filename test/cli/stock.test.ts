import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { runCommand } from '../../node/cli/commands.ts';
import type { CommandContext } from '../../node/cli/context.ts';

/** `freehold stock` against an HTTP server that answers as a node would, and keeps what it was asked. */

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
});

async function node(status: number, body: object): Promise<{ url: string; asked: unknown[] }> {
  const asked: unknown[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      asked.push([request.method, request.url, request.headers['idempotency-key'], JSON.parse(text)]);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, asked };
}

function run(...args: readonly string[]) {
  return runAs('ada', ...args);
}

async function runAs(
  user: string | undefined,
  ...args: readonly string[]
): Promise<{ code: number; said: string }> {
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const context = {
    userName: () => user,
    stop: new AbortController().signal,
    print: say,
    printError: say,
  } as Partial<CommandContext> as CommandContext;
  return { code: await runCommand(['stock', ...args], context), said: lines.join('\n') };
}

describe('freehold stock adjust', () => {
  it('asks a node for the change, under a key that can be given again', async () => {
    const { url, asked } = await node(201, { onHand: 3 });
    const { code, said } = await run(
      'adjust',
      'A/B',
      '--by=-2',
      '--reason',
      'broken',
      '--url',
      url,
      '--key',
      'k',
    );
    expect({ code, said }).toEqual({ code: 0, said: 'A/B is adjusted by -2: 3 on hand (key k)' });
    expect(asked).toEqual([
      [
        'POST',
        '/stock/A%2FB/adjustments',
        'k',
        { kind: 'correction', delta: -2, reason: 'broken', by: 'ada' },
      ],
    ]);
  });

  it('books a restock, and says when it was booked before', async () => {
    const { url, asked } = await node(200, { onHand: 9 });
    const words = [
      'adjust',
      'TEA',
      '--by',
      '+5',
      '--restock',
      '--reason',
      'van',
      '--who',
      'bob',
      '--url',
      url,
    ];
    const { code, said } = await run(...words);
    expect(code).toBe(0);
    expect(said).toMatch(/^TEA was adjusted before: 9 on hand \(key [0-9a-f-]{36}\)$/);
    expect(asked).toMatchObject([
      ['POST', '/stock/TEA/adjustments', expect.any(String), { kind: 'restock', by: 'bob' }],
    ]);
  });

  it('tells why not, and the key to repeat it with', async () => {
    const { url } = await node(503, { code: 'SYSTEM_OF_RECORD_UNAVAILABLE', detail: 'It is not known.' });
    const { code, said } = await run(
      'adjust',
      'TEA',
      '--by',
      '1',
      '--reason',
      'x',
      '--url',
      url,
      '--key',
      'k',
    );
    expect(code).toBe(1);
    expect(said).toContain('It is not known. (SYSTEM_OF_RECORD_UNAVAILABLE; the key was k)');
  });

  it('asks for a name where nothing says who runs it', async () => {
    const { code, said } = await runAs(undefined, 'adjust', 'TEA', '--by', '1', '--reason', 'x');
    expect([code, said]).toEqual([2, expect.stringContaining('--who is required')]);
  });

  it.each(['99999999999999', '1000000001', '-1000000001'])(
    'says how many units --by=%s may be',
    async (by) => {
      const { code, said } = await run('adjust', 'TEA', `--by=${by}`, '--reason', 'x');
      expect([code, said]).toEqual([2, expect.stringContaining('1000000000 units at most')]);
    },
  );

  it.each([
    ['adjust', 'TEA', '--by', '0', '--reason', 'x'],
    ['adjust', 'TEA', '--by', '1.5', '--reason', 'x'],
    ['adjust', 'TEA', '--by', '1'],
    ['adjust', '--by', '1', '--reason', 'x'],
    ['steal', 'TEA'],
  ])('is not asked for like this: %s %s %s', async (...words) => {
    expect((await run(...words)).code).toBe(2);
  });
});
