import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IdentityError, loadOrCreateIdentity, peerIdOf } from '../../store/peers/identity.ts';
import { multiaddrOf } from '../../store/peers/members.ts';

describe('an identity', () => {
  let directory: string;
  let file: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'freehold-identity-'));
    file = join(directory, 'node', 'identity.key');
  });
  afterEach(() => rm(directory, { recursive: true }));
  const load = () => loadOrCreateIdentity(join(directory, 'node'));

  test('is made once, kept, and readable by its owner only, even after somebody opened it up', async () => {
    const first = peerIdOf(await load());
    expect(first).toMatch(/^12D3KooW/);
    await chmod(file, 0o644);
    expect(peerIdOf(await load())).toBe(first);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test('that is damaged is never replaced by a new one', async () => {
    await load();
    await writeFile(file, 'nonsense');
    await expect(load()).rejects.toMatchObject({ code: 'IDENTITY_UNREADABLE' });
    expect(await readFile(file, 'utf8')).toBe('nonsense');
  });

  test('with any flipped bit is refused, or still the same', async () => {
    const peerId = peerIdOf(await load());
    const intact = await readFile(file);
    const outcomes = new Map<string, number>();
    for (let bit = 0; bit < intact.length * 8; bit++) {
      const flipped = Buffer.from(intact);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await writeFile(file, flipped);
      const outcome = await load().then(
        (identity) => (peerIdOf(identity) === peerId ? 'the same' : 'another'),
        (error: unknown) => (error instanceof IdentityError ? error.code : String(error)),
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    expect([...outcomes.keys()].toSorted()).toEqual(['IDENTITY_UNREADABLE', 'the same']);
    // Both halves of the key, and most of what frames them.
    expect(outcomes.get('IDENTITY_UNREADABLE')).toBeGreaterThan(512);
  });
});

test.each([
  ['127.0.0.1', '/ip4/127.0.0.1/tcp/80'],
  ['::1', '/ip6/::1/tcp/80'],
  ['node-1.example', '/dns/node-1.example/tcp/80'],
])('the host %s is dialled as %s', (host, expected) => {
  expect(multiaddrOf({ host, port: 80 }).toString()).toBe(expected);
});
