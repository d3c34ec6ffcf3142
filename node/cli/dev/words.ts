import type { Death } from './part.ts';
import type { Plan } from './plan.ts';
import type { Offer } from './readiness.ts';
import { isHttp } from './settings.ts';

/** What `freehold dev` says on the terminal. */

export function progressLine(what: string, where: string, elapsedMs: number): string {
  return `  ${what.padEnd(18)} ${where.padEnd(46)} ${(elapsedMs / 1000).toFixed(1).padStart(5)} s`;
}

export function welcome(options: {
  readonly plan: Plan;
  readonly systemOfRecordUrl: string;
  readonly offer: Offer;
  /** Random, so that the command buys again in the next run and never twice in this one. */
  readonly idempotencyKey: string;
}): string {
  const { plan, systemOfRecordUrl, offer, idempotencyKey } = options;
  const urls = plan.nodes.map((node) => node.httpUrl);
  const [first] = urls;
  const body = JSON.stringify({
    customer: { id: 'c-1', email: 'ada@example.com' },
    currency: offer.currency,
    lines: [{ sku: offer.sku, quantity: 1 }],
    payment: { method: 'pm_card_visa' },
  });
  return [
    '',
    'Ready. Any node takes any order:',
    '',
    `  API                ${urls.join('  ')}`,
    `  API reference      ${first ?? ''}/docs`,
    `  metrics            ${first ?? ''}/metrics`,
    `  system of record   ${isHttp(systemOfRecordUrl) ? '' : 'psql '}${systemOfRecordUrl}`,
    `  payment sandbox    ${plan.sandbox.url}`,
    `  logs               ${plan.dataDirectory}/{n1,n2,n3,sor,sandbox}/log/`,
    '',
    'Buy something:',
    '',
    `  curl -i ${first ?? ''}/orders \\`,
    `    -H 'Content-Type: application/json' -H 'Idempotency-Key: ${idempotencyKey}' -H 'Prefer: wait=10' \\`,
    `    -d '${body}'`,
    '',
    'Break something, from another terminal: npm run freehold -- dev kill n2',
    'Ctrl-C stops everything.',
    '',
  ].join('\n');
}

export function deathNotice({ part, how, lastLines }: Death): string {
  return [
    '',
    `${part.title} died (${how}). The end of ${part.logFile}:`,
    ...lastLines.map((line) => `    ${line}`),
    `The others go on. Bring it back with: npm run freehold -- dev revive ${part.name}`,
    '',
  ].join('\n');
}
