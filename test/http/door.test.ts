import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VirtualClock } from '../support/virtual-clock.ts';
import { httpFixture, type Fixture } from './fixture.ts';

/** Closing hangs up on nobody who came in, whatever they have said so far. */

const lingerMs = 1_000;
const request = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';

let clock: VirtualClock;
let fixture: Fixture;
let closed: Promise<unknown>;

beforeEach(async () => {
  clock = new VirtualClock();
  fixture = httpFixture({ lingerMs }, clock);
  closed = once(fixture.app.server, 'close');
  await fixture.app.listen({ host: '127.0.0.1', port: 0 });
});
afterEach(async () => {
  fixture.app.server.closeAllConnections();
  await fixture.app.close();
});

const port = (): number => (fixture.app.server.address() as AddressInfo).port;

/** A connection that the server has accepted. */
async function guest(): Promise<Guest> {
  const accepted = once(fixture.app.server, 'connection');
  const opened = new Guest(connect(port(), '127.0.0.1'));
  await accepted;
  return opened;
}

class Guest {
  heard = '';
  readonly errors: Error[] = [];
  readonly gone: Promise<unknown>;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => (this.heard += chunk.toString()));
    socket.on('error', (error) => this.errors.push(error));
    this.gone = new Promise((resolve) => socket.once('close', resolve));
  }

  async ask(): Promise<void> {
    this.heard = '';
    const answered = once(this.#socket, 'data');
    this.#socket.write(request);
    await Promise.race([answered, this.gone]);
  }
}

/** Begins to close; resolves when nobody can connect any more. */
async function shut(): Promise<{ readonly closing: Promise<unknown> }> {
  const closing = fixture.app.close();
  while (fixture.app.server.listening) await nextTurn();
  return { closing };
}

describe('a server that closes', () => {
  it('answers everyone who was waiting to be accepted', async () => {
    const guests = 40;
    const connected = new Int32Array(new SharedArrayBuffer(4));
    const crowd = new Worker(CROWD, { eval: true, workerData: { port: port(), request, guests, connected } });
    const heard = once(crowd, 'message');
    // This thread accepts nobody while it stands still, so all of them are the kernel's when it begins to close.
    expect(Atomics.wait(connected, 0, 0, 15_000)).toBe('ok');
    await fixture.app.close();
    const [answers] = (await heard) as [readonly string[]];
    expect(answers).toEqual(Array.from({ length: guests }, () => 'HTTP/1.1 200 OK'));
  });

  it('hears out who was accepted and has not spoken yet, and lets nobody else in', async () => {
    const silent = await guest();
    const { port: late } = fixture.app.server.address() as AddressInfo;
    const { closing } = await shut();
    const [refusal] = (await once(connect(late, '127.0.0.1'), 'error')) as [{ readonly code: string }];
    expect(refusal.code).toBe('ECONNREFUSED');
    await silent.ask();
    await Promise.all([silent.gone, closing]);
    expect(silent.heard).toMatch(/^HTTP\/1.1 200 .*connection: close/is);
    expect(silent.errors).toEqual([]);
  });

  it('answers once more on a connection that was idle', async () => {
    const regular = await guest();
    await regular.ask();
    expect(regular.heard).toMatch(/connection: keep-alive/i);
    const { closing } = await shut();
    await regular.ask();
    await Promise.all([regular.gone, closing]);
    expect(regular.heard).toMatch(/^HTTP\/1.1 200 .*connection: close/is);
    expect(regular.errors).toEqual([]);
  });

  it('waits for nobody longer than it said', async () => {
    const [silent, idle] = [await guest(), await guest()];
    await idle.ask();
    const { closing } = await shut();
    let isOpen = true;
    void closed.then(() => (isOpen = false));
    await clock.advance(lingerMs - 1);
    expect(isOpen).toBe(true);
    await clock.advance(1);
    await Promise.all([silent.gone, idle.gone, closing]);
    expect([...silent.errors, ...idle.errors]).toEqual([]);
  });

  it('does not wait where nobody is', async () => {
    await fixture.app.close();
    expect(await Promise.race([closed.then(() => 'closed'), nextTurn('open')])).toBe('closed');
  });
});

describe('a server that is about to leave', () => {
  beforeEach(() => {
    fixture.draining = true;
  });

  it.each([
    ['what it knows', '/healthz', 200],
    ['what it does not know', '/nowhere', 404],
    ['what is no path at all', '/%zz', 400],
  ])('ends the connection with its answer: to %s', async (_what, path, status) => {
    const response = await fetch(`http://127.0.0.1:${port()}${path}`);
    expect([response.status, response.headers.get('connection')]).toEqual([status, 'close']);
    await response.text();
  });

  it('hears a client out before that, although it will not use what is sent', async () => {
    const sending = await guest();
    const refused = once(fixture.app.server, 'request');
    const socket = connect(port(), '127.0.0.1');
    let answered = false;
    socket.on('data', () => (answered = true));
    const ended = once(socket, 'close');
    socket.write(
      'POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n12',
    );
    await refused;
    await sending.ask();
    expect(answered).toBe(false);
    socket.write('34');
    await ended;
    expect(answered).toBe(true);
  });
});

/** Connects and asks from another thread, and says so; then tells with which line each answer began, or what went wrong. */
const CROWD = `
  const { connect } = require('node:net');
  const { parentPort, workerData } = require('node:worker_threads');
  const { port, request, guests, connected } = workerData;
  let asked = 0;
  const visits = Array.from({ length: guests }, () => new Promise((resolve) => {
    let heard = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(request, () => {
      asked += 1;
      if (asked < guests) return;
      Atomics.store(connected, 0, 1);
      Atomics.notify(connected, 0);
    }));
    socket.on('data', (chunk) => (heard += chunk));
    socket.on('error', (error) => resolve(error.code));
    socket.on('close', () => resolve(heard.split('\\r\\n')[0]));
  }));
  void Promise.all(visits).then((answers) => parentPort.postMessage(answers));
`;
