/** What every Network must do: run against libp2p and against the simulator's network. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeId } from '../../store/environment.ts';
import { RequestError, type Member, type MemberNetwork } from '../../store/peers/port.ts';

export interface NetworkHarness {
  /** The network of a member's present life. */
  network(id: NodeId): MemberNetwork;
  stop(id: NodeId): Promise<void>;
  start(id: NodeId): Promise<void>;
  /** All three, as each of them lists them at the start. */
  members(): readonly Member[];
  /** Lets time pass until `condition` holds. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** Lets time pass until `promise` settles. */
  settled<Value>(promise: Promise<Value>): Promise<Value>;
  destroy(): Promise<void>;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

/** `harnessOf` gives three members, `a`, `b` and `c`, all started. */
export function describeNetwork(name: string, harnessOf: () => Promise<NetworkHarness>): void {
  describe(`${name} as a Network`, () => {
    let harness: NetworkHarness;
    let a: MemberNetwork;
    let b: MemberNetwork;

    beforeEach(async () => {
      harness = await harnessOf();
      a = harness.network('a');
      b = harness.network('b');
      await harness.until(() => a.reachable('b') && b.reachable('a'), 'a and b reach each other');
    });
    afterEach(() => harness.destroy());

    const codeOf = async (promise: Promise<unknown>): Promise<string> => {
      const outcome = promise.then(
        () => 'answered',
        (error: unknown) =>
          error instanceof RequestError ? error.code : `not a RequestError: ${String(error)}`,
      );
      return harness.settled(outcome);
    };

    test('knows itself and the others', () => {
      expect(a.self).toBe('a');
      expect([...a.peers].sort()).toEqual(['b', 'c']);
      expect(a.reachable('a')).toBe(false);
      expect(a.reachable('nobody')).toBe(false);
    });

    test('delivers frames with their sender, in order, per lane', async () => {
      const received: Record<string, string[]> = { fast: [], bulk: [] };
      for (const lane of ['fast', 'bulk'] as const) {
        b.onMessage(lane, (from, payload) => received[lane]?.push(`${from}:${text(payload).trimEnd()}`));
        for (let index = 0; index < 300; index++) {
          const padding = ' '.repeat((index * 7_919) % 3_000);
          expect(a.send('b', lane, bytes(`${index}${padding}`), lane)).toBe(true);
        }
      }
      await harness.until(() => received.fast?.length === 300 && received.bulk?.length === 300, 'all arrive');
      const expected = Array.from({ length: 300 }, (_, index) => `a:${index}`);
      expect(received).toEqual({ fast: expected, bulk: expected });
    });

    test('delivers to the handler of the channel and to no other', async () => {
      const heard: string[] = [];
      b.onMessage('one', () => heard.push('one'));
      const cancel = b.onMessage('two', () => heard.push('two'));
      expect(() => b.onMessage('one', () => undefined)).toThrow();
      cancel();
      for (const channel of ['two', 'none', 'one']) a.send('b', channel, bytes(''));
      await harness.until(() => heard.length > 0, 'the last frame arrives');
      expect(heard).toEqual(['one']);
    });

    test('does not see later changes to the bytes it was given', async () => {
      const payload = Buffer.from('before');
      let heard = '';
      b.onMessage('x', (_, received) => (heard = text(received)));
      a.send('b', 'x', payload);
      payload.write('AFTER!');
      await harness.until(() => heard !== '', 'it arrives');
      expect(heard).toBe('before');
    });

    test('pushes back instead of buffering without bound', () => {
      const frame = new Uint8Array(8_192);
      let accepted = 0;
      while (accepted < 20_000 && a.send('b', 'x', frame)) accepted++;
      expect(accepted).toBeGreaterThan(100);
      expect(accepted).toBeLessThan(20_000);
    });

    test('answers requests, many at a time, each with its own answer', async () => {
      b.onRequest('double', async (from, payload) => bytes(`${from}${text(payload)}${text(payload)}`));
      const answers = Array.from({ length: 200 }, (_, index) =>
        a.request('b', 'double', bytes(`${index},`), { timeoutMs: 5_000, lane: index % 2 ? 'fast' : 'bulk' }),
      );
      const texts = (await harness.settled(Promise.all(answers))).map(text);
      expect(texts).toEqual(answers.map((_, index) => `a${index},${index},`));
    });

    test('says why a request got no answer', async () => {
      b.onRequest('broken', async () => {
        throw new Error('out of order');
      });
      b.onRequest('mute', () => new Promise(() => undefined));
      const ask = (to: string, channel: string, timeoutMs = 10_000) =>
        a.request(to, channel, bytes(''), { timeoutMs });
      expect(await codeOf(ask('b', 'unheard-of'))).toBe('NO_HANDLER');
      expect(await codeOf(ask('b', 'broken'))).toBe('REMOTE_ERROR');
      expect(await codeOf(ask('b', 'mute', 200))).toBe('TIMEOUT');
      expect(await codeOf(ask('nobody', 'x'))).toBe('UNREACHABLE');
      await harness.stop('b');
      await harness.until(() => !a.reachable('b'), 'the end of b is noticed');
      expect(await codeOf(ask('b', 'mute'))).toBe('UNREACHABLE');
      expect(a.send('b', 'x', bytes(''))).toBe(false);
    });

    test('ends a request whose peer goes away, one way or another', async () => {
      let asked = false;
      b.onRequest('mute', () => {
        asked = true;
        return new Promise(() => undefined);
      });
      const answer = codeOf(a.request('b', 'mute', bytes(''), { timeoutMs: 2_000 }));
      await harness.until(() => asked, 'b is asked');
      await harness.stop('b');
      expect(['UNREACHABLE', 'TIMEOUT']).toContain(await answer);
    });

    test('tells each change of reachability once, and late subscribers what is', async () => {
      const early: string[] = [];
      a.onReachability((peer, reachable) => early.push(`${peer}:${reachable}`));
      await harness.until(() => a.reachable('c'), 'a reaches c');
      expect(early.filter((line) => line.startsWith('b'))).toEqual(['b:true']);
      await harness.stop('b');
      await harness.until(() => !a.reachable('b'), 'the end of b is noticed');
      const late: string[] = [];
      a.onReachability((peer, reachable) => late.push(`${peer}:${reachable}`));
      expect(late).toEqual(['c:true']);
      await harness.start('b');
      await harness.until(() => a.reachable('b'), 'the return of b is noticed');
      expect(early.filter((line) => line.startsWith('b'))).toEqual(['b:true', 'b:false', 'b:true']);
      expect(late).toEqual(['c:true', 'b:true']);
    });

    test('carries frames and requests again after a peer came back', async () => {
      await harness.stop('b');
      await harness.until(() => !a.reachable('b'), 'the end of b is noticed');
      await harness.start('b');
      b = harness.network('b');
      b.onRequest('echo', async (_, payload) => payload);
      await harness.until(() => a.reachable('b') && b.reachable('a'), 'they reach each other again');
      expect(text(await harness.settled(a.request('b', 'echo', bytes('x'), { timeoutMs: 10_000 })))).toBe(
        'x',
      );
      expect(text(await harness.settled(a.request('b', 'echo', bytes('y'), { timeoutMs: 10_000 })))).toBe(
        'y',
      );
    });

    test('announces to all others, the same thing twice if need be, and to who came back', async () => {
      const heard: string[] = [];
      const listen = (id: NodeId) =>
        harness
          .network(id)
          .onAnnouncement('news', (from, payload) => heard.push(`${id}<${from}:${text(payload)}`));
      for (const id of ['a', 'b', 'c']) listen(id);
      const reaches = async (line: string, again: () => void) => {
        await harness.until(() => {
          again();
          return heard.includes(line);
        }, line);
      };
      // Announcements are lossy: repeated until heard, with the same bytes each time.
      await reaches('b<a:x', () => a.announce('news', bytes('x')));
      await reaches('c<a:x', () => a.announce('news', bytes('x')));
      const times = heard.filter((line) => line === 'b<a:x').length;
      await harness.until(() => {
        a.announce('news', bytes('x'));
        return heard.filter((line) => line === 'b<a:x').length > times;
      }, 'the same announcement is heard again');
      await harness.stop('b');
      await harness.until(() => !a.reachable('b'), 'the end of b is noticed');
      await harness.start('b');
      listen('b');
      await reaches('b<a:y', () => a.announce('news', bytes('y')));
      await reaches('a<b:z', () => harness.network('b').announce('news', bytes('z')));
      expect(heard.some((line) => line.startsWith('a<a'))).toBe(false);
    });

    test('ends the link of who is taken off the list, at once, and hears nothing of it any more', async () => {
      const heard: string[] = [];
      a.onMessage('x', (from, payload) => heard.push(`${from}:${text(payload)}`));
      const changes: string[] = [];
      a.onReachability((peer, reachable) => changes.push(`${peer}:${reachable}`));
      await harness.until(() => a.reachable('c') && b.reachable('c'), 'all reach each other');
      b.onRequest('mute', () => new Promise(() => undefined));
      const asked = codeOf(a.request('b', 'mute', bytes(''), { timeoutMs: 2_000 }));
      b.send('a', 'x', bytes('too late'));
      a.setMembers(harness.members().filter(({ id }) => id !== 'b'));
      expect(a.reachable('b')).toBe(false);
      expect(a.peers).toEqual(['c']);
      expect(changes).toContain('b:false');
      expect(a.send('b', 'x', bytes(''))).toBe(false);
      expect(await codeOf(a.request('b', 'mute', bytes(''), { timeoutMs: 200 }))).toBe('UNREACHABLE');
      expect(['UNREACHABLE', 'TIMEOUT']).toContain(await asked);
      await harness.until(() => !b.reachable('a'), 'b notices too');
      // The others are not disturbed.
      harness.network('c').send('a', 'x', bytes('still here'));
      await harness.until(() => heard.length > 0, 'a frame of c arrives');
      expect(heard).toEqual(['c:still here']);
      expect(b.reachable('c')).toBe(true);
    });

    test('takes back who is listed again', async () => {
      for (const who of ['a', 'b']) {
        const network = harness.network(who);
        const other = who === 'a' ? 'b' : 'a';
        network.setMembers(harness.members().filter(({ id }) => id !== other));
        await harness.until(() => !a.reachable('b') && !b.reachable('a'), 'the link is gone');
        network.setMembers(harness.members());
        await harness.until(() => a.reachable('b') && b.reachable('a'), 'they reach each other again');
      }
      b.onRequest('echo', async (_, payload) => payload);
      expect(text(await harness.settled(a.request('b', 'echo', bytes('x'), { timeoutMs: 10_000 })))).toBe(
        'x',
      );
      const heard: string[] = [];
      a.onAnnouncement('news', (from) => heard.push(from));
      await harness.until(() => {
        b.announce('news', bytes('x'));
        return heard.length > 0;
      }, 'gossip finds its way again');
    });

    test('a list without itself leaves a node alone', async () => {
      a.setMembers(harness.members().filter(({ id }) => id !== 'a'));
      expect(a.peers).toEqual([]);
      expect(a.reachable('b') || a.reachable('c')).toBe(false);
      await harness.until(() => !b.reachable('a'), 'the others notice');
      expect(b.peers).toContain('a');
    });
  });
}
