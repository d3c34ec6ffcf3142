import type { OrderEvent, OrderFact } from '../../node/orders/events.ts';
import { orderIdOf } from '../../node/orders/identity.ts';
import { OrderViews } from '../../node/views/order-views.ts';
import { createTable } from '../../store/disk/tables.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { seededRandom } from '../support/random.ts';
import { registeredFact } from '../support/registered-fact.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { HandJournal } from './hand-journal.ts';

/** Real views on a simulated disk, over a journal whose entries the test hands out itself. */

export const orderId = (name: string): string => orderIdOf(name);

export function registered(name: string, at: number): OrderEvent {
  return { orderId: orderId(name), at, node: 'n1', ...registeredFact({ fingerprint: name }) };
}

export function fact(name: string, at: number, registration: string, what: OrderFact): OrderEvent {
  return { orderId: orderId(name), at, node: 'n1', registration, ...what };
}

export async function world(disk = new MemoryDisk(), journal = new HandJournal()) {
  const clock = new VirtualClock();
  const environment = testEnvironment({ clock, random: seededRandom(1) });
  const handle = disk.open(clock);
  const table = createTable('orders', { disk: handle, log: environment.log });
  const views = new OrderViews({ cacheOrdersMax: 3 }, { environment, journal, table });
  await views.start();
  return { clock, disk, handle, journal, views, environment };
}
