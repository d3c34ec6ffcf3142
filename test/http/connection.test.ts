import { connect, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { httpFixture } from './fixture.ts';

/** What only a real connection can show: bytes that never become a request. */

describe('a connection that does not speak HTTP', () => {
  const fixture = httpFixture();
  beforeAll(() => fixture.app.listen({ host: '127.0.0.1', port: 0 }));
  afterAll(() => fixture.app.close());

  function exchange(bytes: string): Promise<string> {
    const { port } = fixture.app.server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
      let answer = '';
      socket.on('data', (chunk) => (answer += chunk.toString()));
      socket.on('close', () => resolve(answer));
      socket.on('error', reject);
    });
  }

  it.each([
    ['nonsense', 'HELLO\r\n\r\n', 400, 'MALFORMED_REQUEST'],
    [
      'huge header fields',
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'HEADERS_TOO_LARGE',
    ],
    [
      'two lengths',
      'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
      400,
      'MALFORMED_REQUEST',
    ],
    [
      'a length and chunks',
      'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'MALFORMED_REQUEST',
    ],
  ])('%s: a problem document, then the end', async (_name, bytes, status, code) => {
    const [head = '', body = ''] = (await exchange(bytes)).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toMatch('application/problem+json');
    expect(JSON.parse(body)).toMatchObject({ status, code });
  });

  it('goes on serving others', async () => {
    const { port } = fixture.app.server.address() as AddressInfo;
    const response = await fetch(`http://127.0.0.1:${port}/healthz`);
    expect(response.status).toBe(200);
    await response.text();
  });

  it('hears a client out whose body is too large, rather than to hang up while it sends', async () => {
    const { port } = fixture.app.server.address() as AddressInfo;
    const piece = 'x'.repeat(64 * 1_024);
    const pieces = 20;
    const socket = connect(port, '127.0.0.1');
    const errors: Error[] = [];
    let answer = '';
    let sent = 0;
    let sentBeforeAnswer: number | undefined;
    socket
      .on('error', (error) => errors.push(error))
      .on('data', (chunk) => {
        sentBeforeAnswer ??= sent;
        answer += chunk.toString();
      });
    const ended = new Promise((resolve) => socket.on('close', resolve));
    socket.write(
      `POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${pieces * piece.length}\r\n\r\n`,
    );
    while (sent < pieces) {
      socket.write(piece);
      sent += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await ended;
    expect(errors).toEqual([]);
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(sentBeforeAnswer).toBe(pieces);
  });

  it('refuses a body of unknown length once it is too long', async () => {
    const { port } = fixture.app.server.address() as AddressInfo;
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(' '.repeat(65_536))),
    });
    const response = await fetch(`http://127.0.0.1:${port}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: endless,
      duplex: 'half',
    });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ code: 'BODY_TOO_LARGE' });
  });
});
