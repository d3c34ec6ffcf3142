import { resolve } from 'node:path';
import { parseArguments, portNumber } from './arguments.ts';
import { aborted, exitCodes, UsageError } from './context.ts';
import type { Command } from './context.ts';
import { readFaultPlan } from './fault-plan-file.ts';

export const sandbox: Command = {
  name: 'sandbox',
  summary: "run the sandbox that speaks Stripe's API, for development",
  help: `Usage: freehold sandbox [--data DIR] [--host HOST] [--port PORT] [--public-url URL] [--faults FILE]
                        [--webhook URL]... [--webhook-secret SECRET]

Runs a local server that answers as Stripe does, without money, until SIGTERM or SIGINT.

  --data DIR        keep payments and the fault plan here across restarts; without it they are forgotten
  --host HOST       default 127.0.0.1
  --port PORT       default 9085
  --public-url URL  where customers' browsers find it to authenticate, default where it listens
  --faults FILE     a fault plan (JSON) that is in force from the start; PUT /sandbox/faults changes it later
  --webhook URL     where to tell of what became of payments; of several, each event goes to one that takes it
  --webhook-secret  what events are signed with, default whsec_sandbox

Of its own it has, besides Stripe's API: GET /sandbox/summary (the books), GET, PUT and DELETE /sandbox/faults,
GET /sandbox/authenticate/INTENT (a page), and GET /metrics.`,

  async run(args, context) {
    const { values } = parseArguments('sandbox', args, {
      data: { type: 'string' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '9085' },
      'public-url': { type: 'string' },
      faults: { type: 'string' },
      webhook: { type: 'string', multiple: true, default: [] },
      'webhook-secret': { type: 'string', default: 'whsec_sandbox' },
    });
    const { 'public-url': publicUrl, 'webhook-secret': secret, webhook: urls } = values;
    for (const url of [...urls, ...(publicUrl === undefined ? [] : [publicUrl])])
      if (!/^https?:\/\/./.test(url) || !URL.canParse(url))
        throw new UsageError(`freehold sandbox: ${url} is not a URL that starts with http:// or https://`);
    const options = {
      host: values.host,
      port: portNumber('freehold sandbox: --port', values.port),
      ...(values.data === undefined ? {} : { dataDirectory: resolve(values.data) }),
      ...(publicUrl === undefined ? {} : { publicUrl: publicUrl.replace(/\/+$/, '') }),
      ...(values.faults === undefined ? {} : { plan: readFaultPlan(values.faults) }),
      ...(urls.length === 0 ? {} : { webhooks: { urls, secret } }),
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
