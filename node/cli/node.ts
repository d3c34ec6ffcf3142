import { loadConfig } from '../config.ts';
import { systemEnvironment } from '../system.ts';
import { parseArguments, required } from './arguments.ts';
import { aborted, exitCodes } from './context.ts';
import type { Command } from './context.ts';
import { exitCodeOf, textOf } from './failures.ts';

export const node: Command = {
  name: 'node',
  summary: 'run one node of a cluster, as a service does',
  help: `Usage: freehold node --config FILE [--found]

Runs one node until SIGTERM or SIGINT, then drains: it takes no new orders, hands on what it has, and leaves.
Logs are JSON lines on standard output.

  --config FILE   the node's freehold.yaml; deploy/freehold.example.yaml explains every key
  --found         for the first start of a new cluster, on each of its voters: found it with the voters of the file.
                  Without it a node with an empty disk waits for its cluster to take it in

Exit codes: 0 drained and stopped; 2 the configuration is wrong; 70 stopped itself, or did not start, rather than
break a promise (the last log line says why, and nothing but what it says to do helps); 1 anything else.`,

  async run(args, context) {
    const { values } = parseArguments('node', args, {
      config: { type: 'string' },
      found: { type: 'boolean' },
    });
    const loaded = loadConfig(required('node', 'config', values.config));
    const config = values.found === true ? { ...loaded, cluster: { found: true } } : loaded;
    const log = context.log({ level: config.log.level, name: config.node });
    const environment = systemEnvironment(log, (error) => {
      log.error({ err: error }, `stopping, because going on could break a promise: ${error.message}`);
      context.exitNow(exitCodes.unsafe);
    });

    // Here, so that commands which start no node do not wait for libp2p and the rest to load.
    const { startNode } = await import('../compose.ts');
    const running = await startNode(config, { environment }).catch((error: unknown) => {
      if (exitCodeOf(error) === exitCodes.unsafe)
        log.error({ err: error }, `not starting, because that could break a promise: ${textOf(error)}`);
      throw error;
    });
    log.info({ url: running.httpUrl, version: context.version }, 'serving');
    context.tellSupervisor({ kind: 'started', url: running.httpUrl });

    await aborted(context.stop);
    log.info({ reason: context.stop.reason as unknown }, 'draining');
    await running.stop();
    log.info({}, 'stopped');
    return exitCodes.ok;
  },
};
