import { createServer } from 'node:net';
import { CommandError } from '../context.ts';
import { isFounded } from './founding.ts';
import type { Plan } from './plan.ts';
import { partsOf } from './plan.ts';

/** Refuses to start over somebody else's ports: names each that is taken, and what can be done. */
export async function checkPortsFree(plan: Plan): Promise<void> {
  const wanted = partsOf(plan).flatMap((part) => part.ports.map((port) => ({ part, port })));
  const checked = await Promise.all(
    wanted.map(async ({ part, port }) => ({ part, port, free: await isFree(plan.host, port) })),
  );
  const taken = checked.filter(({ free }) => !free);
  if (taken.length === 0) return;
  const list = taken.map(({ part, port }) => `${String(port)} (for ${part.title})`).join(', ');
  throw new CommandError(
    `${taken.length === 1 ? 'port' : 'ports'} ${list} on ${plan.host} already in use. ` +
      (isFounded(plan)
        ? 'The nodes know each other by their ports: free these, or set FREEHOLD_DATA and FREEHOLD_PORT for another cluster'
        : 'Set FREEHOLD_PORT to move them all, such as FREEHOLD_PORT=18081 npm start'),
  );
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => {
      resolve(false);
    });
    probe.listen({ host, port, exclusive: true }, () => {
      probe.close(() => {
        resolve(true);
      });
    });
  });
}
