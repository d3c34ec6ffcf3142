import type { Death } from './part.ts';
import type { Member } from './members-asked.ts';
import type { Plan, PlannedNode } from './plan.ts';
import type { Offer } from './readiness.ts';
import type { Roster, Standing } from './roster.ts';
import { isHttp } from './settings.ts';

/** What `freehold dev` says on the terminal. */

export function progressLine(what: string, where: string, elapsedMs: number): string {
  return `  ${what.padEnd(18)} ${where.padEnd(46)} ${(elapsedMs / 1000).toFixed(1).padStart(5)} s`;
}

/** What is to be known of a node beside whether it runs; undefined when it simply takes part. */
export function remarkOn(node: PlannedNode, standing: Standing | undefined): string | undefined {
  switch (standing) {
    case 'removed':
      return `removed from the cluster; its data stays in ${node.directory}`;
    case 'joining':
      return `not let in yet: npm run freehold -- dev add ${node.name}`;
    case 'observer':
      return `does not vote yet: npm run freehold -- members promote ${node.name} --url ${node.httpUrl}`;
    case 'voter':
    case undefined:
      return undefined;
  }
}

/** What is to be known of a member that has no place here. */
export const strangerRemark = 'a member that is not run from here';

export interface Attendance {
  readonly plan: Plan;
  readonly roster: Pick<Roster, 'standing' | 'freeName'>;
  /** As the cluster lists them. Those of them that are planned are up. */
  readonly members: readonly Member[];
}

/** Who takes orders, in a line. */
export function readyLine({ plan, members }: Attendance): string {
  const up = members.filter(({ id }) => plan.nodes.some(({ name }) => name === id));
  const everybody =
    up.length === members.length && plan.nodes.length === up.length && plan.removed.length === 0;
  const who = everybody ? 'all nodes' : up.map(({ id }) => id).join(', ');
  return `${who} take orders, the catalogue is there`;
}

export function welcome(
  options: Attendance & {
    readonly systemOfRecordUrl: string;
    readonly offer: Offer;
    /** Random, so that the command buys again in the next run and never twice in this one. */
    readonly idempotencyKey: string;
  },
): string {
  const { plan, roster, members, systemOfRecordUrl, offer, idempotencyKey } = options;
  const up = plan.nodes.filter(({ name }) => members.some(({ id }) => id === name));
  const [first] = up.map((node) => node.httpUrl);
  const remarks = [...plan.nodes, ...plan.removed].flatMap((node) => {
    const remark = remarkOn(node, roster.standing(node.name));
    return remark === undefined ? [] : [titled(node.title, remark)];
  });
  const strangers = members
    .filter(({ id }) => roster.standing(id) === undefined)
    .map(({ id }) => titled(`node ${id}`, strangerRemark));
  const logs = [...plan.nodes, plan.systemOfRecord, plan.sandbox].flatMap((part) => part?.name ?? []);
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
    titled('API', up.map(({ httpUrl }) => httpUrl).join('  ')),
    ...remarks,
    ...strangers,
    titled('API reference', `${first ?? ''}/docs`),
    titled('metrics', `${first ?? ''}/metrics`),
    titled('system of record', `${isHttp(systemOfRecordUrl) ? '' : 'psql '}${systemOfRecordUrl}`),
    titled('payment sandbox', plan.sandbox.url),
    titled('logs', `${plan.dataDirectory}/{${logs.join(',')}}/log/`),
    '',
    'Buy something:',
    '',
    `  curl -i ${first ?? ''}/orders \\`,
    `    -H 'Content-Type: application/json' -H 'Idempotency-Key: ${idempotencyKey}' -H 'Prefer: wait=10' \\`,
    `    -d '${body}'`,
    '',
    whatMayBreak(options),
    'Ctrl-C stops everything.',
    '',
  ].join('\n');
}

function titled(title: string, text: string): string {
  return `  ${title.padEnd(18)} ${text}`;
}

/** A node to kill, or that none can be spared. */
function whatMayBreak({ plan, roster, members }: Attendance): string {
  const voters = members.filter(({ voter }) => voter).map(({ id }) => id);
  const up = plan.nodes.filter(({ name }) => voters.includes(name));
  const majority = Math.floor(voters.length / 2) + 1;
  const victim = up[1] ?? up[0];
  if (up.length > majority && victim !== undefined)
    return `Break something, from another terminal: npm run freehold -- dev kill ${victim.name}`;
  const { freeName } = roster;
  const more = freeName === undefined ? '' : ` One more: npm run freehold -- dev add ${freeName}`;
  return `No voter may be lost now: ${String(up.length)} of ${String(voters.length)} are up, and ${String(majority)} are needed to take orders.${more}`;
}

export function deathNotice({ part, how, lastLines }: Death, standing: Standing | undefined): string {
  return [
    '',
    `${part.title} died (${how}). The end of ${part.logFile}:`,
    ...lastLines.map((line) => `    ${line}`),
    standing === 'removed'
      ? 'It was removed from the cluster before, and is not missed.'
      : `The others go on. Bring it back with: npm run freehold -- dev revive ${part.name}`,
    '',
  ].join('\n');
}
