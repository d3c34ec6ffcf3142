/**
 * Announcements over gossipsub, unsigned: the links are authenticated and members trust each other to name
 * the sender, so each message carries its own envelope: `[sender length: 1][sender][serial: 16][payload]`.
 *
 * The serial (a random half per process life, then a count) makes every message unlike every other: gossipsub
 * drops what it has seen in the last two minutes, and a node may well announce the same thing twice. It is
 * also the message's id, which spares a hash per message and hop.
 */
import type { GossipSub, Message } from '@libp2p/gossipsub';
import type { Cancel, Log, NodeId, Random } from '../environment.ts';

const serialBytes = 16;
/** Nothing is announced in it: every member takes part, so who is not known to has not been heard at all. */
const rollCallTopic = '/freehold/roll-call/1';
/** Gossipsub itself says nothing about what it does not send (over 4 MiB), so the bound is kept here. */
const payloadBytesMax = 256 * 1024;

type Handler = (from: NodeId, payload: Uint8Array) => void;

export class Announcements {
  readonly #self: NodeId;
  readonly #isMember: (id: NodeId) => boolean;
  readonly #gossip: GossipSub;
  readonly #log: Log;
  readonly #life: Buffer;
  readonly #handlers = new Map<string, Handler>();
  #count = 0;
  #started = false;

  constructor(
    options: { readonly self: NodeId },
    dependencies: {
      readonly gossip: GossipSub;
      readonly isMember: (id: NodeId) => boolean;
      readonly random: Random;
      readonly log: Log;
    },
  ) {
    this.#self = options.self;
    this.#isMember = dependencies.isMember;
    this.#gossip = dependencies.gossip;
    this.#log = dependencies.log;
    this.#life = Buffer.alloc(8);
    this.#life.writeUInt32BE(Math.floor(dependencies.random() * 2 ** 32), 0);
    this.#life.writeUInt32BE(Math.floor(dependencies.random() * 2 ** 32), 4);
    this.#gossip.addEventListener('message', ({ detail }) => {
      this.#receive(detail);
    });
  }

  /** To be called once the libp2p node has started: gossipsub takes no subscriptions before. */
  start(): void {
    this.#started = true;
    this.#gossip.subscribe(rollCallTopic);
    for (const topic of this.#handlers.keys()) this.#gossip.subscribe(topic);
  }

  /** To be called before the node stops. Nothing is announced or heard after it. */
  stop(): void {
    this.#started = false;
    this.#handlers.clear();
  }

  /** Whether the holder of this peer id has told gossipsub what it wants to hear; before, it is sent nothing. */
  hears(peerId: string): boolean {
    return this.#gossip.getSubscribers(rollCallTopic).some((subscriber) => subscriber.toString() === peerId);
  }

  announce(topic: string, payload: Uint8Array): void {
    if (!this.#started) return;
    if (payload.byteLength > payloadBytesMax) {
      this.#log.error({ topic, bytes: payload.byteLength }, 'an announcement is too large and was not sent');
      return;
    }
    const sender = Buffer.from(this.#self);
    const count = Buffer.alloc(8);
    count.writeBigUInt64BE(BigInt(++this.#count));
    const message = Buffer.concat([Uint8Array.of(sender.length), sender, this.#life, count, payload]);
    this.#gossip.publish(topic, message).catch((error: unknown) => {
      this.#log.debug({ topic, error: String(error) }, 'an announcement was not sent');
    });
  }

  /** Registers the one handler of `topic`, and takes part in it from now on. */
  handle(topic: string, handler: Handler): Cancel {
    if (this.#handlers.has(topic)) throw new Error(`topic ${topic} already has its handler`);
    this.#handlers.set(topic, handler);
    if (this.#started) this.#gossip.subscribe(topic);
    return () => {
      if (this.#handlers.get(topic) !== handler) return;
      this.#handlers.delete(topic);
      if (this.#started) this.#gossip.unsubscribe(topic);
    };
  }

  /** Nothing may leave this listener: it would end the process. */
  #receive({ topic, data }: Message): void {
    try {
      const envelope = readEnvelope(data);
      if (envelope === undefined || !this.#isMember(envelope.sender)) return;
      this.#handlers.get(topic)?.(envelope.sender, envelope.payload);
    } catch (error) {
      this.#log.error({ topic, error: String(error) }, 'an announcement handler failed');
    }
  }
}

/** The id under which gossipsub remembers a message. */
export function announcementId({ data }: Message): Uint8Array {
  return data.subarray(0, 1 + (data[0] ?? 0) + serialBytes);
}

function readEnvelope(
  data: Uint8Array,
): { readonly sender: NodeId; readonly payload: Uint8Array } | undefined {
  const senderEnd = 1 + (data[0] ?? 0);
  if (data.byteLength < senderEnd + serialBytes) return undefined;
  return {
    sender: Buffer.from(data.subarray(1, senderEnd)).toString(),
    payload: data.subarray(senderEnd + serialBytes),
  };
}
