import { resolve } from 'node:path';
import { parseArguments, portNumber } from './arguments.ts';
import { aborted, exitCodes } from './context.ts';
import type { Command } from './context.ts';

export const sandbox: Command = {
  name: 'sandbox',
  summary: "run the sandbox that speaks Stripe's API, for development",
  help: `Usage: freehold sandbox [--data DIR] [--host HOST] [--port PORT]

Runs a local server that answers as Stripe does, without money, until SIGTERM or SIGINT.

  --data DIR    keep payments here across restarts; without it they are forgotten
  --host HOST   default 127.0.0.1
  --port PORT   default 9085`,

  async run(args, context) {
    const { values } = parseArguments('sandbox', args, {
      data: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '9085' },
    });
    const options = {
      host: values.host,
      port: portNumber('freehold sandbox: --port', values.port),
      ...(values.data === undefined ? {} : { dataDirectory: resolve(values.data) }),
    };
    const { startSandbox } = await import('../payments/sandbox/index.ts');
    const log = context.log({ level: 'info', name: 'sandbox' });
    const running = await startSandbox(options);
    log.info({ url: running.url }, 'serving');
    context.tellSupervisor({ kind: 'started', url: running.url });
    await aborted(context.stop);
    await running.close();
    log.info({}, 'stopped');
    return exitCodes.ok;
  },
};
