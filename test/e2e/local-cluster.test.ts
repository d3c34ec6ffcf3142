import { rmSync } from 'node:fs';
import { expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { endOf, newPlace, runDev } from './support/cluster.ts';

/** What `npm start` says when it cannot come up. */

it('a start without its system of record says what it waits for, and why', async () => {
  const options = { systemOfRecordUrl: 'postgres://127.0.0.1:1/x' };
  const plan = newPlace(options);
  const dev = runDev(options, plan);
  let said = '';
  for (const stream of [dev.stdout, dev.stderr])
    stream.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
  try {
    // At the node that leads, and reads; the others know only that there is no catalogue.
    await eventually(60_000, async () => {
      expect(said).toMatch(
        /^ {2}waiting for n[123]: .*no catalogue has been read .*\(SYSTEM_OF_RECORD_UNAVAILABLE: .*ECONNREFUSED/m,
      );
    });
  } finally {
    dev.kill('SIGINT');
    expect(await endOf(dev)).toBe(0);
    rmSync(plan.dataDirectory, { recursive: true });
  }
}, 120_000);
