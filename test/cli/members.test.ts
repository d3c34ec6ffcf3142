import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { runCommand } from '../../node/cli/commands.ts';
import type { CommandContext } from '../../node/cli/context.ts';

/** `freehold members` against an HTTP server that answers as a node would, and keeps what it was asked. */

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Scripted {
  readonly status: number;
  readonly body: object;
}

const refused = (status: number, code: string): Scripted => ({ status, body: { code, detail: 'why not.' } });
const list = {
  members: [
    { id: 'n1', peerId: 'A', zone: 'main', address: 'h:1', voter: true },
    { id: 'n2', peerId: 'B', zone: 'main', address: 'h:2', voter: true },
  ],
};
const cluster = { self: 'n1', leader: 'n2', term: 7, members: [{ id: 'n1', reachable: true, lag: 0 }] };

/** Answers each change with what comes next in its script; reads always succeed. */
async function node(
  script: readonly (Scripted | 'nothing')[] = [],
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const left = [...script];
  const server = createServer((request, response) => {
    const change = request.method !== 'GET';
    if (change) asked.push(`${request.method ?? ''} ${request.url ?? ''}`);
    const read = { status: 200, body: request.url === '/cluster' ? cluster : list };
    const next = change ? (left.shift() ?? { status: 200, body: list }) : read;
    if (next === 'nothing') return;
    const { status, body } = next;
    request.resume().on('end', () => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, asked };
}

async function run(...args: readonly string[]): Promise<{ code: number; said: string }> {
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const context = {
    stop: new AbortController().signal,
    print: say,
    printError: say,
  } as Partial<CommandContext> as CommandContext;
  return { code: await runCommand(['members', ...args], context), said: lines.join('\n') };
}

describe('freehold members', () => {
  it('shows who takes part, who leads, and who is away', async () => {
    const { url, asked } = await node();
    const { code, said } = await run('--url', url);
    expect(code).toBe(0);
    expect(said).toMatch(/n1 +voter +reachable +lag 0 +main +h:1/);
    expect(said).toMatch(/n2 +leader +away/);
    expect(asked).toEqual([]);
  });

  it('waits for what passes, and says what it waits for once', async () => {
    const { url, asked } = await node([refused(409, 'JOURNAL_BEHIND'), refused(409, 'JOURNAL_BEHIND')]);
    const { code, said } = await run('promote', 'n4', '--url', url);
    expect(code).toBe(0);
    expect(asked).toEqual(Array.from({ length: 3 }, () => 'POST /cluster/members/n4/promote'));
    expect(said.match(/waiting: why not\. \(JOURNAL_BEHIND\)/g)).toHaveLength(1);
    expect(said).toContain('n4 votes');
  });

  it('fails with the reason when it is refused for good, or not done in time', async () => {
    const forGood = await node([refused(409, 'LAST_VOTER')]);
    expect(await run('remove', 'n1', '--url', forGood.url)).toMatchObject({ code: 1 });
    const late = await node([refused(409, 'NOT_CAUGHT_UP'), refused(409, 'NOT_CAUGHT_UP')]);
    const { code, said } = await run('promote', 'n4', '--wait', '1s', '--url', late.url);
    expect([code, said.includes('not done in time: why not. (NOT_CAUGHT_UP)')]).toEqual([1, true]);
    expect(await run('remove', 'n9', '--url', late.url)).toEqual({
      code: 1,
      said: 'freehold members: n9 is not a member',
    });
  });

  it('keeps the wait when a node takes longer to answer, and says that the change may take effect yet', async () => {
    const { url } = await node(['nothing']);
    const begun = performance.now();
    const { code, said } = await run('remove', 'n2', '--wait', '1s', '--url', url);
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect(code).toBe(1);
    expect(said).toMatch(
      /not done in time: .* has not answered within 1\.0 s; the change may take effect yet/,
    );
  });

  it('takes a removal whose answer got lost for done', async () => {
    const { url } = await node([refused(503, 'CHANGE_UNDECIDED'), refused(404, 'UNKNOWN_MEMBER')]);
    expect((await run('remove', 'n2', '--url', url)).code).toBe(0);
  });

  it('replaces in the order that is safe', async () => {
    const { url, asked } = await node();
    const newcomer = ['--with', 'n4', '--peer-id', 'P', '--address', 'h:4'];
    expect((await run('replace', 'n2', ...newcomer, '--url', url)).code).toBe(0);
    expect(asked).toEqual([
      'POST /cluster/members',
      'DELETE /cluster/members/n2',
      'POST /cluster/members/n4/promote',
    ]);
  });

  it('says so when nobody answers', async () => {
    const { code, said } = await run('--url', 'http://127.0.0.1:1');
    expect(code).toBe(1);
    expect(said).toContain('does not answer as a node does');
  });
});
