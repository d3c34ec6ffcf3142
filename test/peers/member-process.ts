/** One member in a process of its own, so that it can be killed and paused. Run with a JSON argument. */
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys';
import type { Identity } from '../../store/peers/identity.ts';
import type { Member } from '../../store/peers/members.ts';
import { openNetwork } from '../../store/peers/network.ts';
import { realEnvironment } from '../support/peers-cluster.ts';

const { self, key, port, members } = JSON.parse(process.argv[2] ?? '') as {
  readonly self: string;
  readonly key: string;
  readonly port: number;
  readonly members: readonly Member[];
};

const network = await openNetwork(
  {
    self,
    identity: privateKeyFromProtobuf(Buffer.from(key, 'base64')) as Identity,
    listen: { host: '127.0.0.1', port },
    members,
  },
  { environment: realEnvironment() },
);
const heard: number[] = [];
network.onMessage('numbered', (_, payload) => heard.push(Buffer.from(payload).readUInt32BE(0)));
network.onRequest('heard', async () => Buffer.from(JSON.stringify(heard)));
network.onRequest('echo', async (_, payload) => payload);
network.onRequest('mute', () => new Promise(() => undefined));
const news: string[] = [];
network.onAnnouncement('news', (from) => news.push(from));
network.onRequest('news', async () => Buffer.from(JSON.stringify(news)));
network.onRequest('announce', async () => {
  network.announce('news', Buffer.from('same'));
  return new Uint8Array();
});
