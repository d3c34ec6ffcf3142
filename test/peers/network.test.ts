import { calmNetwork, MemoryNetwork } from '../support/memory-network.ts';
import { eventually } from '../support/eventually.ts';
import { PeersCluster } from '../support/peers-cluster.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { describeNetwork } from './network-contract.ts';

const ids = ['a', 'b', 'c'];

describeNetwork('libp2p', async () => {
  const cluster = await PeersCluster.of(ids);
  await cluster.open(...ids);
  await cluster.connected();
  return {
    network: (id) => cluster.network(id),
    stop: (id) => cluster.close(id),
    start: (id) => cluster.open(id),
    members: () => cluster.members,
    until: (condition, what) => eventually(condition, { withinMs: 10_000, what }),
    settled: (promise) => promise,
    destroy: () => cluster.destroy(),
  };
});

describeNetwork('the memory network', async () => {
  const clock = new VirtualClock();
  const world = new MemoryNetwork({ members: ids, faults: calmNetwork }, { clock, random: seededRandom(1) });
  const networks = new Map(ids.map((id) => [id, world.join(id)]));
  return {
    network: (id) => {
      const network = networks.get(id);
      if (network === undefined) throw new Error(`${id} is not there`);
      return network;
    },
    stop: async (id) => {
      networks.delete(id);
      world.leave(id);
    },
    start: async (id) => {
      networks.set(id, world.join(id));
    },
    members: () => ids.map((id) => ({ id, peerId: id, address: { host: id, port: 1 } })),
    until: (condition, what) => clock.until(condition, { withinMs: 10_000, what }),
    settled: (promise) => clock.resolve(promise, { withinMs: 10_000 }),
    destroy: async () => undefined,
  };
});
