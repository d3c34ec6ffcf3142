/** What the libp2p network promises beyond the contract: over real sockets, and real processes where it must. */
import { privateKeyToProtobuf } from '@libp2p/crypto/keys';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { createIdentity, peerIdOf } from '../../store/peers/identity.ts';
import { MembersError } from '../../store/peers/members.ts';
import { defaultNetworkLimits, NetworkError, openNetwork } from '../../store/peers/network.ts';
import { RequestError } from '../../store/peers/port.ts';
import { eventually } from '../support/eventually.ts';
import { freePort, PeersCluster, realEnvironment } from '../support/peers-cluster.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function clusterOf(...ids: readonly string[]): Promise<PeersCluster> {
  const cluster = await PeersCluster.of(ids);
  cleanups.push(() => cluster.destroy());
  return cluster;
}

function spawnMember(cluster: PeersCluster, self: string): ChildProcess {
  const options = {
    self,
    key: Buffer.from(privateKeyToProtobuf(cluster.identity(self))).toString('base64'),
    port: cluster.port(self),
    members: cluster.members,
  };
  const file = fileURLToPath(new URL('member-process.ts', import.meta.url));
  const child = spawn(process.execPath, [file, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  cleanups.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return child;
}

/** A process that is reachable may not have registered its handlers yet. */
const answers = (cluster: PeersCluster, from: string, to: string) =>
  eventually(
    () =>
      cluster
        .network(from)
        .request(to, 'echo', new Uint8Array(), { timeoutMs: 1_000 })
        .then(
          () => true,
          () => false,
        ),
    { withinMs: 15_000, what: `${to} answers ${from}` },
  );

/** Heartbeats that the network of this process has had time for: what is judged by ticks is late when the machine is. */
function countTicks(): { stop(): number } {
  let ticks = 0;
  let timer: NodeJS.Timeout;
  const tickLater = (): void => {
    timer = setTimeout(() => {
      ticks++;
      tickLater();
    }, defaultNetworkLimits.heartbeatIntervalMs);
  };
  tickLater();
  return {
    stop() {
      clearTimeout(timer);
      return ticks;
    },
  };
}

const reachable = (cluster: PeersCluster, from: string, to: string, is: boolean, withinMs: number) =>
  eventually(() => cluster.network(from).reachable(to) === is, {
    withinMs,
    what: `${to} is ${is ? '' : 'not '}reachable from ${from}`,
  });

describe('who may connect', () => {
  /** A node that calls itself b and lists everybody rightly, but does not hold b's key. */
  async function openStranger(cluster: PeersCluster, isWanted: (peerId: string) => boolean) {
    let identity = await createIdentity();
    while (!isWanted(peerIdOf(identity))) identity = await createIdentity();
    const members = cluster.members.map((member) =>
      member.id === 'b' ? { ...member, peerId: peerIdOf(identity) } : member,
    );
    const stranger = await openNetwork(
      { self: 'b', identity, listen: { host: '127.0.0.1', port: cluster.port('b') }, members },
      { environment: realEnvironment() },
    );
    cleanups.push(() => stranger.close());
    return stranger;
  }

  test('a peer that is not listed is refused when it dials', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a');
    const stranger = await openStranger(cluster, (peerId) => peerId < cluster.network('a').peerId);
    let sawIt = false;
    cluster.network('a').onReachability(() => (sawIt = true));
    stranger.onReachability(() => (sawIt = true));
    const refusals = () => cluster.lines.filter(({ message }) => message.startsWith('refused')).length;
    await eventually(() => refusals() >= 3, { withinMs: 10_000, what: 'it is refused again and again' });
    expect(sawIt).toBe(false);
  });

  test('a member that was taken out while it was down learns that it is refused, and when it no longer is', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    const [dialer, acceptor, third] = cluster.byDialer;
    if (dialer === undefined || acceptor === undefined || third === undefined)
      throw new Error('three members');
    await cluster.open(acceptor);
    cluster.network(acceptor).setMembers(cluster.members.filter(({ id }) => id !== dialer));
    await cluster.open(dialer);
    const returned = cluster.network(dialer);
    const refused = () => returned.refusedBy.join();
    await eventually(() => refused() !== '', { withinMs: 10_000, what: 'it knows that it is refused' });
    // The third is only down.
    expect(refused()).toBe(acceptor);
    expect(cluster.lines.filter(({ message }) => message.startsWith('this member refuses')).length).toBe(1);
    cluster.network(acceptor).setMembers(cluster.members);
    await reachable(cluster, dialer, acceptor, true, 10_000);
    expect(refused()).toBe('');
  });

  test('a peer that is not the listed one is left alone when it is found at the address', async () => {
    let cluster = await clusterOf('a', 'b');
    while (cluster.byDialer[0] !== 'a') cluster = await clusterOf('a', 'b');
    await cluster.open('a');
    const stranger = await openStranger(cluster, (peerId) => peerId > cluster.network('a').peerId);
    let sawIt = false;
    cluster.network('a').onReachability(() => (sawIt = true));
    stranger.onReachability(() => (sawIt = true));
    const failures = () => cluster.lines.filter(({ message }) => message === 'dial failed').length;
    const before = failures();
    await eventually(() => failures() >= before + 3, { withinMs: 10_000, what: 'dials end at a stranger' });
    expect(sawIt).toBe(false);
  });

  test('a bare socket that talks nonsense disturbs nobody', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a', 'b');
    await cluster.connected();
    const changes: boolean[] = [];
    cluster.network('a').onReachability((_, is) => changes.push(is));
    const socket = connect(cluster.port('a'), '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    await new Promise((resolve) => socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(1_000), resolve));
    socket.destroy();
    cluster.network('b').onRequest('echo', async (_, payload) => payload);
    await cluster.network('a').request('b', 'echo', new Uint8Array(1), { timeoutMs: 10_000 });
    expect(changes).toEqual([true]);
  });

  test('a foreign key, a bad list and a taken port are told apart at the start', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a');
    const codeOf = (change: object) => {
      const options = {
        self: 'b',
        identity: cluster.identity('b'),
        listen: { host: '127.0.0.1', port: cluster.port('b') },
        members: cluster.members,
        ...change,
      };
      return openNetwork(options, { environment: realEnvironment() }).then(
        async (network) => {
          await network.close();
          return 'opened';
        },
        (error: unknown) =>
          error instanceof MembersError || error instanceof NetworkError ? error.code : String(error),
      );
    };
    const nowhere = cluster.members.map((member) => ({ ...member, address: { host: 'a/b', port: 1 } }));
    const twice = [...cluster.members, ...cluster.members];
    expect(await codeOf({ identity: await createIdentity() })).toBe('IDENTITY_MISMATCH');
    expect(await codeOf({ self: 'x' })).toBe('MEMBERS_INVALID');
    expect(await codeOf({ members: nowhere })).toBe('MEMBERS_INVALID');
    expect(await codeOf({ members: twice })).toBe('MEMBERS_INVALID');
    expect(await codeOf({ listen: { host: '127.0.0.1', port: cluster.port('a') } })).toBe('LISTEN_FAILED');
    expect(await codeOf({})).toBe('opened');
  });
});

describe('a link', () => {
  test('carries the largest frames of its lanes whole, and refuses larger ones', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a', 'b');
    await cluster.connected();
    const [a, b] = [cluster.network('a'), cluster.network('b')];
    b.onRequest('echo', async (_, payload) => payload);
    for (const [lane, mebibytes] of [
      ['fast', 4],
      ['bulk', 8],
    ] as const) {
      const payload = Buffer.alloc(mebibytes * 1024 * 1024);
      for (let index = 0; index < payload.length; index += 4_096) payload.writeUInt32BE(index, index);
      const answer = await a.request('b', 'echo', payload, { timeoutMs: 20_000, lane });
      expect(Buffer.compare(payload, answer)).toBe(0);
      expect(a.send('b', 'x', new Uint8Array(payload.length + 1), lane)).toBe(false);
    }
    expect(a.queuedBytes()).toEqual({ b: { fast: 0, bulk: 0 } });
  });

  test('answers OVERLOADED when too many requests are being answered', async () => {
    const cluster = await PeersCluster.of(['a', 'b'], { runningMax: 3 });
    cleanups.push(() => cluster.destroy());
    await cluster.open('a', 'b');
    await cluster.connected();
    const release = Promise.withResolvers<Uint8Array>();
    cluster.network('b').onRequest('slow', () => release.promise);
    const ask = () => cluster.network('a').request('b', 'slow', new Uint8Array(), { timeoutMs: 10_000 });
    const answers = Promise.allSettled(Array.from({ length: 5 }, ask));
    await expect(ask()).rejects.toMatchObject({ code: 'OVERLOADED' });
    release.resolve(new Uint8Array());
    const outcomes = (await answers).map(({ status }) => status);
    expect(outcomes).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected']);
    await Promise.all([ask(), ask(), ask()]);
  });

  test('survives a stall of the event loop that is longer than two heartbeats', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    await cluster.open('a', 'b', 'c');
    await cluster.connected();
    const downs: string[] = [];
    for (const id of ['a', 'b', 'c']) {
      cluster.network(id).onReachability((peer, is) => is || downs.push(`${id}-${peer}`));
    }
    cluster.network('b').onRequest('echo', async (_, payload) => payload);
    for (let stall = 0; stall < 3; stall++) {
      const until = performance.now() + 1_300;
      while (performance.now() < until);
      await cluster.network('a').request('b', 'echo', new Uint8Array(), { timeoutMs: 5_000 });
    }
    expect(downs).toEqual([]);
  });
});

describe('a list that changes', () => {
  const listed = (cluster: PeersCluster, ...ids: readonly string[]) =>
    cluster.members.filter(({ id }) => ids.includes(id));

  test('follows a member to another address, whichever side dials', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a', 'b');
    await cluster.connected();
    for (const id of cluster.byDialer) {
      const other = id === 'a' ? 'b' : 'a';
      await cluster.close(id);
      cluster.move(id, await freePort());
      cluster.network(other).setMembers(cluster.members);
      await cluster.open(id);
      await cluster.connected();
    }
  });

  test('whose member has another key now lets that one in, and the old one no longer', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a', 'b');
    await cluster.connected();
    const changes: boolean[] = [];
    cluster.network('a').onReachability((_, is) => changes.push(is));
    const identity = await createIdentity();
    const members = cluster.members.map((member) =>
      member.id === 'b' ? { ...member, peerId: peerIdOf(identity) } : member,
    );
    cluster.network('a').setMembers(members);
    expect(cluster.network('a').reachable('b')).toBe(false);
    await cluster.close('b');
    const listen = { host: '127.0.0.1', port: cluster.port('b') };
    const successor = await openNetwork(
      { self: 'b', identity, listen, members },
      { environment: realEnvironment() },
    );
    cleanups.push(() => successor.close());
    await eventually(() => successor.reachable('a'), { withinMs: 10_000, what: 'the new b is let in' });
    await reachable(cluster, 'a', 'b', true, 10_000);
    expect(changes).toEqual([true, false, true]);
  });

  test('lets a newcomer in only once it is listed, and refuses a list that cannot work', async () => {
    const cluster = await clusterOf('a', 'b', 'c');
    await cluster.open('a', 'b');
    for (const id of ['a', 'b']) cluster.network(id).setMembers(listed(cluster, 'a', 'b'));
    await cluster.open('c');
    for (const id of ['a', 'b']) cluster.network(id).onReachability((peer) => expect(peer).not.toBe('c'));
    await eventually(() => cluster.network('a').reachable('b'), { withinMs: 10_000, what: 'a and b' });
    for (const broken of [
      [...cluster.members, ...cluster.members],
      cluster.members.map((member) => ({ ...member, peerId: 'nobody' })),
    ]) {
      expect(() => cluster.network('a').setMembers(broken)).toThrow(MembersError);
    }
    expect(cluster.network('a').peers).toEqual(['b']);
    expect(cluster.network('a').reachable('b')).toBe(true);
  });
});

describe('starting and returning', () => {
  test('three members that start at the same moment connect, and gossip reaches all, every time', async () => {
    for (let round = 0; round < 6; round++) {
      const cluster = await clusterOf('a', 'b', 'c');
      await cluster.open('a', 'b', 'c');
      await cluster.connected();
      const heard = new Set<string>();
      for (const id of ['a', 'b', 'c']) {
        cluster.network(id).onAnnouncement('news', (from) => heard.add(`${id}<${from}`));
      }
      await eventually(
        () => {
          for (const id of ['a', 'b', 'c']) cluster.network(id).announce('news', Buffer.from('same'));
          return heard.size === 6;
        },
        { withinMs: 10_000, what: `gossip in all six directions, has ${[...heard].join(' ')}` },
      );
      await cluster.destroy();
    }
  });

  test('a member that returns before its end was noticed replaces its old link, gossip included', async () => {
    const cluster = await clusterOf('a', 'b');
    const [dialer, acceptor] = cluster.byDialer;
    if (dialer === undefined || acceptor === undefined) throw new Error('two members');
    // Between them stands a proxy that can lose the dialer's end without telling the acceptor.
    const inner = await freePort();
    const pairs: { readonly near: Socket; readonly far: Socket }[] = [];
    const proxy = createServer((near) => {
      const far = connect(inner, '127.0.0.1');
      for (const socket of [near, far]) socket.on('error', () => undefined);
      near.on('data', (piece) => far.write(piece));
      far.on('data', (piece) => near.write(piece));
      pairs.push({ near, far });
    });
    await new Promise<void>((resolve) => proxy.listen(cluster.port(acceptor), '127.0.0.1', resolve));
    cleanups.push(async () => {
      for (const { near, far } of pairs) {
        near.destroy();
        far.destroy();
      }
      await new Promise((resolve) => proxy.close(resolve));
    });
    // Nobody is judged silent here: only the return itself may end the old link.
    const limits = { silentTicksMax: 1_000 };
    const [one, other] = await Promise.all(
      (
        [
          [dialer, cluster.port(dialer)],
          [acceptor, inner],
        ] as const
      ).map(async ([self, port]) => {
        const network = await openNetwork(
          {
            self,
            identity: cluster.identity(self),
            listen: { host: '127.0.0.1', port },
            members: cluster.members,
            limits,
          },
          { environment: realEnvironment() },
        );
        cleanups.push(() => network.close());
        return network;
      }),
    );
    if (one === undefined || other === undefined) throw new Error('two networks');
    const heard = { dialer: 0, acceptor: 0 };
    one.onAnnouncement('news', () => heard.dialer++);
    other.onAnnouncement('news', () => heard.acceptor++);
    const gossip = () =>
      eventually(
        () => {
          one.announce('news', Buffer.from('same'));
          other.announce('news', Buffer.from('same'));
          return heard.dialer > 0 && heard.acceptor > 0;
        },
        { withinMs: 10_000, what: `gossip in both directions: ${JSON.stringify(heard)}` },
      );
    await gossip();
    for (let round = 0; round < 3; round++) {
      const changes: boolean[] = [];
      const cancel = other.onReachability((_, is) => changes.push(is));
      pairs.at(-1)?.near.destroy();
      await eventually(() => changes.length === 3, { withinMs: 5_000, what: 'the link is replaced' });
      expect(changes).toEqual([true, false, true]);
      cancel();
      heard.dialer = heard.acceptor = 0;
      await gossip();
    }
  });

  test('a member is back within two seconds of its return, whichever side dials', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a', 'b');
    for (const id of cluster.byDialer) {
      const [other] = ['a', 'b'].filter((one) => one !== id);
      await cluster.connected();
      await cluster.close(id);
      await reachable(cluster, other ?? '', id, false, 15_000);
      await cluster.open(id);
      await cluster.connected(2_000);
    }
  });
});

describe('a process', () => {
  test('that is killed is noticed at once, its requests fail at once, and it is taken back', async () => {
    for (const dialerIsKilled of [true, false]) {
      const cluster = await clusterOf('a', 'b');
      const [victim, survivor] = dialerIsKilled ? cluster.byDialer : [...cluster.byDialer].reverse();
      if (victim === undefined || survivor === undefined) throw new Error('two members');
      await cluster.open(survivor);
      const child = spawnMember(cluster, victim);
      await answers(cluster, survivor, victim);
      const network = cluster.network(survivor);
      const asked = network.request(victim, 'mute', new Uint8Array(), { timeoutMs: 60_000 });
      const failure = asked.catch((error: unknown) => error);
      child.kill('SIGKILL');
      const noticing = countTicks();
      const error = await failure;
      // By the end of its connection: its silence would be noticed only after so many.
      expect(noticing.stop()).toBeLessThan(defaultNetworkLimits.silentTicksMax);
      expect(error).toBeInstanceOf(RequestError);
      expect(error).toMatchObject({ code: 'UNREACHABLE' });
      expect(network.reachable(victim)).toBe(false);
      spawnMember(cluster, victim);
      await reachable(cluster, survivor, victim, true, 15_000);
    }
  }, 60_000);

  test('that is paused is noticed within a few heartbeats, and taken back when it goes on', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a');
    const child = spawnMember(cluster, 'b');
    await reachable(cluster, 'a', 'b', true, 15_000);
    const noticing = countTicks();
    child.kill('SIGSTOP');
    await reachable(cluster, 'a', 'b', false, 30_000);
    // One for what b had sent already, one for the tick that was under way, one for what a timer may be late.
    expect(noticing.stop()).toBeLessThanOrEqual(defaultNetworkLimits.silentTicksMax + 3);
    child.kill('SIGCONT');
    await reachable(cluster, 'a', 'b', true, 15_000);
    await answers(cluster, 'a', 'b');

    // Neither process has restarted: gossip has to find its way from the dead connection to the new one.
    const network = cluster.network('a');
    let heard = 0;
    network.onAnnouncement('news', () => heard++);
    const ask = async (channel: string) => {
      const answer = network.request('b', channel, new Uint8Array(), { timeoutMs: 2_000 });
      // No answer is no news yet: a machine that does many things at once may take its time.
      return Buffer.from(await answer.catch(() => new Uint8Array())).toString();
    };
    await eventually(
      async () => {
        network.announce('news', Buffer.from('same'));
        await ask('announce');
        return heard > 0 && (await ask('news')).includes('a');
      },
      { withinMs: 10_000, what: 'gossip in both directions' },
    );
  }, 60_000);

  test('that does not read is pushed back to its sender within bounds, and loses nothing when it goes on', async () => {
    const cluster = await clusterOf('a', 'b');
    await cluster.open('a');
    const child = spawnMember(cluster, 'b');
    await answers(cluster, 'a', 'b');
    const network = cluster.network('a');
    child.kill('SIGSTOP');
    const frame = Buffer.alloc(64 * 1024);
    let accepted = 0;
    let refusals = 0;
    while (refusals < 20) {
      frame.writeUInt32BE(accepted, 0);
      if (network.send('b', 'numbered', frame)) accepted++;
      else refusals++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(network.queuedBytes().b?.fast).toBeLessThanOrEqual(16 * 1024 * 1024);
    // The queue, and what the kernel and the streams hold: not whatever was sent.
    expect(accepted * frame.length).toBeLessThan(48 * 1024 * 1024);
    child.kill('SIGCONT');
    await eventually(() => network.queuedBytes().b?.fast === 0, {
      withinMs: 10_000,
      what: 'the queue drains',
    });
    const heard = JSON.parse(
      Buffer.from(await network.request('b', 'heard', new Uint8Array(), { timeoutMs: 10_000 })).toString(),
    ) as number[];
    expect(heard).toEqual(Array.from({ length: accepted }, (_, index) => index));
  }, 60_000);
});
