/** Gossip finds its way again on links that stand, whatever libp2p told gossipsub, and when. */
import type { Connection, Stream } from '@libp2p/interface';
import { afterEach, describe, expect, test } from 'vitest';
import type { NodeId } from '../../store/environment.ts';
import { GossipMender } from '../../store/peers/gossip-mender.ts';
import { eventually } from '../support/eventually.ts';
import { PeersCluster, realEnvironment } from '../support/peers-cluster.ts';

describe('gossip between two members', () => {
  const cleanups: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0)) await cleanup();
  });

  /** Waits until each of the two has heard the other anew. */
  async function flows(cluster: PeersCluster, heard: Map<NodeId, number>): Promise<void> {
    heard.clear();
    await eventually(
      () => {
        for (const id of ['a', 'b']) cluster.network(id).announce('news', Buffer.from('same'));
        return heard.size === 2;
      },
      { withinMs: 10_000, what: `gossip in both directions, heard at ${[...heard.keys()].join(' ')}` },
    );
  }

  async function pair(): Promise<{ cluster: PeersCluster; heard: Map<NodeId, number> }> {
    const cluster = await PeersCluster.of(['a', 'b'], { heartbeatIntervalMs: 200, silentTicksMax: 50 });
    cleanups.push(() => cluster.destroy());
    await cluster.open('a', 'b');
    await cluster.connected();
    const heard = new Map<NodeId, number>();
    for (const id of ['a', 'b']) {
      cluster.network(id).onAnnouncement('news', () => heard.set(id, (heard.get(id) ?? 0) + 1));
    }
    await flows(cluster, heard);
    return { cluster, heard };
  }

  test('goes on when the end of the connection before is told late, at either side', async () => {
    const { cluster, heard } = await pair();
    for (const late of ['a', 'b']) {
      const other = late === 'a' ? 'b' : 'a';
      // libp2p looks the peer up before it tells gossipsub that the peer is gone: that look is held back.
      const { peerStore } = cluster.node(late);
      const get = peerStore.get.bind(peerStore);
      const back = Promise.withResolvers<undefined>();
      let held = 0;
      peerStore.get = async (...question) => {
        held++;
        await back.promise;
        return get(...question);
      };
      cluster.network(late).setMembers(cluster.members.filter(({ id }) => id !== other));
      await eventually(() => held > 0 && !cluster.network(other).reachable(late), {
        withinMs: 5_000,
        what: 'the end of the link is noticed, and told to nobody yet',
      });
      peerStore.get = get;
      cluster.network(late).setMembers(cluster.members);
      await cluster.connected();
      const known = () => cluster.node(late).services.gossip.getSubscribers('news').length;
      await eventually(() => known() === 1, { withinMs: 10_000, what: 'gossip is set up on the new link' });
      back.resolve(undefined);
      await eventually(() => known() === 0, { withinMs: 5_000, what: 'gossip forgets who is there' });
      await flows(cluster, heard);
    }
  });
});

describe('the mender', () => {
  const link = (peer: NodeId) => {
    const aborted: string[] = [];
    const streams = ['/meshsub/1.2.0', '/freehold/fast/1', '/floodsub/1.0.0'].map((protocol) => ({
      protocol,
      abort: () => aborted.push(protocol),
    }));
    const connection = { remotePeer: peer, streams: streams as unknown as Stream[] } as unknown as Connection;
    return { peer, connection, aborted };
  };

  test('leaves alone who is heard, resets nothing but gossip, and tries ever more rarely', () => {
    const mender = new GossipMender({ hears: (peerId) => peerId === 'heard', log: realEnvironment().log });
    const [heard, deaf] = [link('heard'), link('deaf')];
    const attempts: number[] = [];
    for (let tick = 1; tick <= 200; tick++) {
      mender.tick([heard, deaf]);
      if (deaf.aborted.length > 0) attempts.push(tick);
      expect([[], ['/meshsub/1.2.0', '/floodsub/1.0.0']]).toContainEqual(deaf.aborted.splice(0));
    }
    expect(heard.aborted).toEqual([]);
    expect(attempts).toEqual([5, 15, 35, 75, 115, 155, 195]);
  });

  test('starts to count anew when the peer was heard, and on another connection', () => {
    let hears = false;
    const mender = new GossipMender({ hears: () => hears, log: realEnvironment().log });
    const [before, after] = [link('b'), link('b')];
    const tick = (times: number, on: ReturnType<typeof link>) => {
      for (let count = 0; count < times; count++) mender.tick([on]);
    };
    tick(4, before);
    hears = true;
    tick(1, before);
    hears = false;
    tick(4, before);
    tick(4, after);
    expect([...before.aborted, ...after.aborted]).toEqual([]);
    tick(1, after);
    expect(after.aborted).not.toEqual([]);
  });
});
