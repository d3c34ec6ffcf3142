import { resolve } from 'node:path';
import { parseArguments, portNumber, required } from './arguments.ts';
import { aborted, exitCodes } from './context.ts';
import type { Command } from './context.ts';

export const sor: Command = {
  name: 'sor',
  summary: 'run an embedded system of record, for development',
  help: `Usage: freehold sor --data DIR [--host HOST] [--port PORT]

Runs PGlite behind the PostgreSQL protocol, until SIGTERM or SIGINT. \`freehold dev\` starts one of these unless
FREEHOLD_SOR_URL names a PostgreSQL. Not for production.

  --data DIR    where the database lives
  --host HOST   default 127.0.0.1
  --port PORT   default 9084`,

  async run(args, context) {
    const { values } = parseArguments('sor', args, {
      data: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '9084' },
    });
    const options = {
      dataDirectory: resolve(required('sor', 'data', values.data)),
      host: values.host,
      port: portNumber('freehold sor: --port', values.port),
    };
    const { startEmbeddedSystemOfRecord } = await import('../reconcilers/embedded.ts');
    const log = context.log({ level: 'info', name: 'sor' });
    const running = await startEmbeddedSystemOfRecord(options);
    log.info({ url: running.url }, 'serving');
    context.tellSupervisor({ kind: 'started', url: running.url });
    const failure = await Promise.race([aborted(context.stop), running.failed]);
    if (failure instanceof Error) {
      log.error({ err: failure }, 'the database cannot go on');
      return exitCodes.failed;
    }
    await running.close();
    log.info({}, 'stopped');
    return exitCodes.ok;
  },
};
