import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LinkFaults } from '../../node/cli/dev/link-faults.ts';
import { PeerProxy } from '../../node/cli/dev/peer-proxy.ts';
import { eventually } from '../e2e/support/eventually.ts';

/** Real sockets: n1 dials n2 and n3 through the proxy. */

const host = '127.0.0.1';
const withinMs = 5_000;

/** What stands for a node: takes connections, and remembers what it heard on each. */
class Listener {
  readonly accepted: Side[] = [];
  readonly server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    this.accepted.push(new Side(socket));
  });

  async listen(): Promise<number> {
    this.server.listen({ host, port: 0 });
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }
}

/** One end of a connection. */
class Side {
  readonly socket: Socket;
  #heard = '';
  bytesHeard = 0;
  ended = false;
  broken = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.bytesHeard += chunk.length;
      if (this.#heard.length < 100_000) this.#heard += chunk.toString('utf8');
    });
    socket.on('end', () => (this.ended = true));
    socket.on('error', () => (this.broken = true));
  }

  get heard(): string {
    return this.#heard;
  }
}

let faults: LinkFaults;
let proxy: PeerProxy;
let n2: Listener;
let n3: Listener;
let dialed: Side[];
let peerPorts: Record<'n1' | 'n2' | 'n3', number>;
/** Who dials n2, as far as the proxy can tell. */
let dialer: string | undefined;

beforeEach(async () => {
  n2 = new Listener();
  n3 = new Listener();
  dialed = [];
  faults = new LinkFaults({ nodes: ['n1', 'n2', 'n3'] });
  peerPorts = { n1: await freePort(), n2: await freePort(), n3: await freePort() };
  const nodes = [
    { name: 'n1', peerPort: peerPorts.n1, listenPort: 1 },
    { name: 'n2', peerPort: peerPorts.n2, listenPort: await n2.listen() },
    { name: 'n3', peerPort: peerPorts.n3, listenPort: await n3.listen() },
  ];
  dialer = 'n1';
  proxy = await PeerProxy.open(
    { host, nodes },
    {
      faults,
      whoDialed: (_fromPort, toPort) => (toPort === peerPorts.n2 ? dialer : 'n1'),
    },
  );
});
afterEach(() => {
  proxy.close();
  for (const { socket } of dialed) socket.destroy();
  for (const { server, accepted } of [n2, n3]) {
    for (const { socket } of accepted) socket.destroy();
    server.close();
  }
});

async function freePort(): Promise<number> {
  const server = createServer().listen({ host, port: 0 });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function change(act: (faults: LinkFaults) => void): void {
  act(faults);
  proxy.update();
}

async function dial(to: 'n2' | 'n3'): Promise<Side> {
  const side = new Side(createConnection({ host, port: peerPorts[to], allowHalfOpen: true }));
  dialed.push(side);
  await once(side.socket, 'connect');
  return side;
}

async function connected(): Promise<{ dialer: Side; accepter: Side }> {
  const before = n2.accepted.length;
  const dialer = await dial('n2');
  const accepter = await eventually(withinMs, () => {
    const side = n2.accepted[before];
    if (side === undefined) throw new Error('n2 has accepted nothing yet');
    return side;
  });
  return { dialer, accepter };
}

function hears(side: Side, text: string): Promise<void> {
  return eventually(withinMs, () => {
    expect(side.heard).toBe(text);
  });
}

/** Whatever had been sent before has arrived, if it may: a link without faults has carried a new connection both ways since. */
async function meanwhile(): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const before = n3.accepted.length;
    const dialer = await dial('n3');
    dialer.socket.write('fence');
    await eventually(withinMs, () => {
      n3.accepted[before]?.socket.end('back');
      expect(dialer.ended).toBe(true);
    });
    dialer.socket.destroy();
  }
}

describe('without a fault', () => {
  it('both sides hear each other, and how the other ended (X1)', async () => {
    const { dialer, accepter } = await connected();
    dialer.socket.write('ping');
    await hears(accepter, 'ping');
    dialer.socket.end();
    await eventually(withinMs, () => {
      expect(accepter.ended).toBe(true);
    });
    accepter.socket.end('pong');
    await hears(dialer, 'pong');
    await eventually(withinMs, () => {
      expect(dialer.ended).toBe(true);
    });
  });

  it('a broken connection is broken at the other side too (X1)', async () => {
    const { dialer, accepter } = await connected();
    accepter.socket.resetAndDestroy();
    await eventually(withinMs, () => {
      expect(dialer.socket.destroyed).toBe(true);
    });
  });

  it('who dials a node that is not there is turned away', async () => {
    n2.server.close();
    const dialer = await dial('n2');
    await eventually(withinMs, () => {
      expect(dialer.socket.destroyed).toBe(true);
    });
  });

  it('carries megabytes whole and in order, to a reader that is slow (W1)', async () => {
    const { dialer, accepter } = await connected();
    accepter.socket.pause();
    const total = 24 * 1024 * 1024;
    const block = Buffer.alloc(1024 * 1024, 'freehold');
    for (let sent = 0; sent < total; sent += block.length) dialer.socket.write(block);
    await meanwhile();
    accepter.socket.resume();
    await eventually(withinMs, () => {
      expect(accepter.bytesHeard).toBe(total);
    });
    expect(accepter.heard).toMatch(/^(freehold)+(f|fr|fre|free|freeh|freeho|freehol)?$/);
  });
});

describe('over a cut link', () => {
  it('nothing arrives and nothing is closed, until it heals (W2, X2)', async () => {
    const { dialer, accepter } = await connected();
    change((links) => {
      links.partition('n2');
    });
    dialer.socket.write('one ');
    accepter.socket.write('uno ');
    await meanwhile();
    dialer.socket.end('two');
    await meanwhile();
    expect([accepter.heard, accepter.ended, dialer.heard, dialer.ended]).toEqual(['', false, '', false]);

    change((links) => {
      links.heal();
    });
    await hears(accepter, 'one two');
    await hears(dialer, 'uno ');
    await eventually(withinMs, () => {
      expect(accepter.ended).toBe(true);
    });
  });

  it.each([
    ['in', 'n2 is heard, and hears nothing'],
    ['out', 'n2 hears, and is not heard'],
  ] as const)('one way %s: %s', async (oneWay, _what) => {
    const { dialer, accepter } = await connected();
    change((links) => {
      links.partition('n2', { oneWay });
    });
    const [deaf, heard] = oneWay === 'in' ? [accepter, dialer] : [dialer, accepter];
    dialer.socket.write('x');
    accepter.socket.write('x');
    await hears(heard, 'x');
    await meanwhile();
    expect(deaf.heard).toBe('');
    change((links) => {
      links.heal('n2');
    });
    await hears(deaf, 'x');
  });

  it.each([undefined, 'in', 'out'] as const)(
    'who connects hangs, and gets through when it heals (X2), cut %s',
    async (oneWay) => {
      change((links) => {
        links.partition('n1', { other: 'n2', ...(oneWay === undefined ? {} : { oneWay }) });
      });
      const dialer = await dial('n2');
      dialer.socket.write('hello');
      await meanwhile();
      expect([n2.accepted.length, dialer.ended, dialer.socket.destroyed]).toEqual([0, false, false]);
      change((links) => {
        links.heal();
      });
      await eventually(withinMs, () => {
        expect(n2.accepted[0]?.heard).toBe('hello');
      });
    },
  );

  it('who gave up meanwhile has met nobody', async () => {
    change((links) => {
      links.partition('n2');
    });
    for (let attempt = 0; attempt < 100; attempt += 1) (await dial('n2')).socket.destroy();
    (await dial('n2')).socket.resetAndDestroy();
    await meanwhile();
    change((links) => {
      links.heal();
    });
    await connected();
    expect(n2.accepted).toHaveLength(1);
  });

  it('a sender has to wait once enough is on its way (W3)', async () => {
    const { dialer, accepter } = await connected();
    change((links) => {
      links.partition('n2');
    });
    const block = Buffer.alloc(1024 * 1024);
    const blocks = 64;
    for (let sent = 0; sent < blocks; sent += 1) dialer.socket.write(block);
    await meanwhile();
    expect(dialer.socket.writableLength).toBeGreaterThan(0.5 * blocks * block.length);
    change((links) => {
      links.heal();
    });
    await eventually(withinMs, () => {
      expect(accepter.bytesHeard).toBe(blocks * block.length);
    });
  });

  it('other links are as ever', async () => {
    change((links) => {
      links.partition('n1', { other: 'n2' });
    });
    await meanwhile();
    expect(faults.list()).toEqual([
      ['n1 → n2', 'cut'],
      ['n2 → n1', 'cut'],
    ]);
  });
});

describe('a dialer', () => {
  it('that cannot be told has the faults of all that it may be (X4)', async () => {
    dialer = undefined;
    change((links) => {
      links.partition('n2', { other: 'n3' });
    });
    await dial('n2');
    await meanwhile();
    expect(n2.accepted).toHaveLength(0);
    change((links) => {
      links.heal();
    });
    await eventually(withinMs, () => {
      expect(n2.accepted).toHaveLength(1);
    });
  });
});

describe('a slow node', () => {
  it('hears and is heard so much later, in order', async () => {
    const { dialer, accepter } = await connected();
    const delayMs = 60;
    change((links) => {
      links.slow('n2', delayMs);
    });
    const sentAt = performance.now();
    dialer.socket.write('a');
    await eventually(withinMs, () => {
      expect(accepter.heard).toBe('a');
    });
    accepter.socket.write('b');
    dialer.socket.write('c');
    change((links) => {
      links.slow('n2', 0);
    });
    // What is said now must not overtake.
    dialer.socket.write('d');
    await hears(accepter, 'acd');
    await hears(dialer, 'b');
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(delayMs);
  });
});
