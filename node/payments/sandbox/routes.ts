import type { Route } from './fault-plan.ts';

const table: readonly (readonly [method: string, path: RegExp, route: Route])[] = [
  ['POST', /^\/v1\/payment_intents$/, 'create'],
  ['POST', /^\/v1\/payment_intents\/[^/]+\/confirm$/, 'confirm'],
  ['POST', /^\/v1\/payment_intents\/[^/]+\/capture$/, 'capture'],
  ['POST', /^\/v1\/payment_intents\/[^/]+\/cancel$/, 'cancel'],
  ['POST', /^\/v1\/refunds$/, 'refund'],
  ['GET', /^\/v1\/payment_intents$/, 'list'],
  ['GET', /^\/v1\/refunds$/, 'list'],
  ['GET', /^\/v1\/payment_intents\/search$/, 'search'],
  ['GET', /^\/v1\/payment_intents\/[^/]+$/, 'retrieve'],
  ['GET', /^\/v1\/refunds\/[^/]+$/, 'retrieve'],
];

/** The part of Stripe's API that there is. Undefined for the rest. */
export function routeOf(method: string, path: string): Route | undefined {
  return table.find(([wanted, pattern]) => wanted === method && pattern.test(path))?.[2];
}
