import { describe, expect, it } from 'vitest';
import { encodeEvent } from '../../node/views/codec.ts';
import { OrderLog } from '../../node/workflow/order-log.ts';
import { becomeHome } from '../../node/workflow/settlement.ts';
import type { ClaimStanding, Position } from '../../store/journal/port.ts';
import { stockLedger } from '../support/stock-ledger.ts';
import { fact, orderId, registered, world } from '../views/world.ts';

/**
 * An order with two registrations, of which the earlier one holds the claims of a majority. Ledger and views are real;
 * what the journal tells, and what the voters claim, is set here.
 */
async function rivals({ isDeferred = true } = {}) {
  const { journal, clock, views } = await world();
  journal.keep('n3', registered('twice', 50));
  journal.keep('n1', registered('twice', 90));
  // Its client was told 503, which is not to say that it lost.
  if (isDeferred)
    journal.keep(
      'n3',
      fact('twice', 60, 'n3:1', { type: 'deferred', data: { reason: 'QUORUM_UNAVAILABLE' } }),
    );
  await views.flush();
  const claims = new Map<string, ClaimStanding>([
    ['n1', { kind: 'held', holder: earlier }],
    ['n3', { kind: 'held', holder: earlier }],
  ]);
  const ledger = await stockLedger({ clock, products: [] });
  const members = ['n1', 'n2', 'n3'].map((id) => ({ id, voter: true }));
  const written: Uint8Array[] = [];
  const append = (payload: Uint8Array) => {
    written.push(payload);
    return { position: { origin: 'n1', sequence: written.length + 1 }, durable: Promise.resolve() };
  };
  const become = (horizon: number) =>
    becomeHome(orderId('twice'), {
      environment: { clock },
      journal: { holders: async () => claims, covers: async () => true, vector: () => ({}) },
      ledger,
      views,
      log: new OrderLog({ self: 'n1' }, { clock, journal: { append }, views, encode: encodeEvent }),
      membership: { self: 'n1', members, reachable: () => true, onReachability: () => () => undefined },
      retention: { horizon: () => horizon },
    });
  return { views, ledger, become, claims, clock };
}

const earlier: Position = { origin: 'n3', sequence: 1 };
const younger: Position = { origin: 'n1', sequence: 1 };

describe('the home of an order with two registrations', () => {
  it('settles on the one that a majority claims', async () => {
    const { become, views } = await rivals();
    expect(await become(0)).toBe('home');
    expect((await views.get(orderId('twice')))?.order).toMatchObject({ registration: 'n3:1', createdAt: 50 });
  });

  it('does not settle on one that would be forgotten at once, however many claim it (S6)', async () => {
    const { become, views, ledger } = await rivals();
    await ledger.forget(70);
    // It does not know of the horizon yet: the ledger does.
    expect(await become(0)).toBe('forgotten');
    expect((await views.get(orderId('twice')))?.confirmed).toBe(false);
    expect(await become(70)).toBe('home');
    expect((await views.get(orderId('twice')))?.order).toMatchObject({ registration: 'n1:1', createdAt: 90 });
  });

  it('settles nothing while the voter that would tell is away, and on what it tells when it is back (S1)', async () => {
    const { become, views, claims } = await rivals({ isDeferred: false });
    claims.set('n3', { kind: 'held', holder: younger });
    expect(await become(0)).toBe('unsettled');
    expect((await views.get(orderId('twice')))?.confirmed).toBe(false);
    claims.set('n1', { kind: 'held', holder: younger }).set('n2', { kind: 'held', holder: younger });
    expect(await become(0)).toBe('home');
    expect((await views.get(orderId('twice')))?.order).toMatchObject({ registration: 'n1:1', createdAt: 90 });
  });

  it('waits for a vote on its way', async () => {
    const { become, views, claims, clock } = await rivals({ isDeferred: false });
    claims.set('n3', { kind: 'free' });
    const becoming = become(0);
    await clock.advance(150);
    claims.set('n3', { kind: 'held', holder: younger }).set('n2', { kind: 'held', holder: younger });
    expect(await clock.resolve(becoming, { withinMs: 500 })).toBe('home');
    expect((await views.get(orderId('twice')))?.order).toMatchObject({ registration: 'n1:1' });
  });
});
