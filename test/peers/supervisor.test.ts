import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reconnectDelayMs, Supervisor } from '../../store/peers/supervisor.ts';
import { testEnvironment } from '../support/environment.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function world(dial: (supervisor: Supervisor) => Promise<void>) {
  const clock = new VirtualClock();
  const dials: number[] = [];
  const supervisor: Supervisor = new Supervisor(
    { peers: ['b'] },
    {
      ...testEnvironment({ clock, random: seededRandom(7) }),
      dial: () => {
        dials.push(clock.monotonic());
        expect(supervisor.dialing('b')).toBe(true);
        return dial(supervisor);
      },
    },
  );
  supervisor.start();
  return { clock, dials, supervisor };
}

describe('the supervisor', () => {
  test('pauses longer with each failure, and never longer than a second', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 10_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (n, r) => {
          const delay = reconnectDelayMs(n, () => r);
          expect(delay).toBeGreaterThanOrEqual(25);
          expect(delay).toBeLessThanOrEqual(1_000);
        },
      ),
    );
    expect(reconnectDelayMs(3, () => 0.5)).toBeGreaterThan(reconnectDelayMs(2, () => 0.5));
  });

  test('tries for ever, one dial at a time', async () => {
    const { clock, dials } = world(() => Promise.reject(new Error('refused')));
    await clock.advance(3_600_000);
    expect(dials.length).toBeGreaterThan(3_600);
    for (const [index, at] of dials.entries()) {
      expect(at - (dials[index - 1] ?? 0)).toBeLessThanOrEqual(1_000);
    }
  });

  test('leaves a standing link alone, and dials soon after its end', async () => {
    const { clock, dials, supervisor } = world(async (self) => {
      self.linked('b');
      self.linkUp('b');
    });
    await clock.advance(60_000);
    expect(dials).toHaveLength(1);
    supervisor.linkDown('b');
    await clock.advance(60);
    expect(dials).toHaveLength(2);
  });

  test('does not hammer a peer whose connections end before they carry anything', async () => {
    const { clock, dials } = world(async (self) => {
      self.linked('b');
      self.linkDown('b');
    });
    await clock.advance(60_000);
    expect(dials.length).toBeGreaterThan(50);
    expect(dials.length).toBeLessThan(130);
  });

  test('stops, even while a dial is under way', async () => {
    const { clock, dials, supervisor } = world(() => Promise.reject(new Error('refused')));
    await clock.advance(100);
    const before = dials.length;
    supervisor.stop();
    await clock.advance(60_000);
    expect(dials).toHaveLength(before);
    expect(supervisor.dialing('b')).toBe(false);
  });

  test('dials who is added, and no longer who is removed, not even when that dial had begun', async () => {
    let release: () => void = () => undefined;
    const { clock, dials, supervisor } = world(() => new Promise((resolve) => (release = resolve)));
    await clock.advance(100);
    expect(dials).toHaveLength(1);
    supervisor.remove('b');
    expect(supervisor.dialing('b')).toBe(false);
    release();
    await clock.advance(60_000);
    expect(dials).toHaveLength(1);
    supervisor.add('b');
    await clock.advance(100);
    expect(dials).toHaveLength(2);
  });
});
