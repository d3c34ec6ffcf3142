import { join } from 'node:path';
import type { DevSettings } from './settings.ts';

/** Where everything of a local cluster is, worked out before anything starts. Pure. */

export interface PlannedPart {
  /** What it is called on the command line: `n1`, `sor`, `sandbox`. */
  readonly name: string;
  /** What it is called in sentences. */
  readonly title: string;
  readonly directory: string;
  readonly pidFile: string;
  readonly logFile: string;
  /** Arguments of `freehold` that run it. They name its directory, so its process can be recognized. */
  readonly command: readonly string[];
  readonly ports: readonly number[];
}

export interface PlannedNode extends PlannedPart {
  readonly httpPort: number;
  /** Where the other nodes look for it. */
  readonly peerPort: number;
  /** Where it listens for them: elsewhere when there is a proxy in between. */
  readonly listenPort: number;
  readonly httpUrl: string;
  readonly configFile: string;
  /** The node's own data directory: identity, journal, ledger. */
  readonly dataDirectory: string;
}

export interface Plan {
  readonly host: string;
  readonly zone: string;
  readonly dataDirectory: string;
  /** Those that the cluster is founded with. */
  readonly nodes: readonly PlannedNode[];
  /** Absent when a PostgreSQL was named. */
  readonly systemOfRecord?: PlannedPart & { readonly port: number };
  readonly sandbox: PlannedPart & {
    readonly port: number;
    readonly url: string;
    /** What it signs its events with. */
    readonly webhookSecret: string;
  };
}

const host = '127.0.0.1';
const zone = 'local';
const nodeCount = 3;
/** Peer ports lie this far above the HTTP ports; the system of record and the sandbox come after them. */
const peerPortOffset = 1_000;
/** What is behind the proxy lies this far above what is in front of it. */
const proxiedOffset = 10;
/** Of no use to anybody: there is no money behind it. */
const webhookSecret = 'whsec_sandbox';
/** Beyond everything that a cluster starts with. */
const newcomerOffset = 20;

export function planOf(settings: DevSettings): Plan {
  const { dataDirectory, port, direct } = settings;
  const nodes = Array.from({ length: nodeCount }, (_, index): PlannedNode => {
    const httpPort = port + index;
    const peerPort = httpPort + peerPortOffset;
    const listenPort = direct ? peerPort : peerPort + proxiedOffset;
    return nodeAt(dataDirectory, index + 1, { httpPort, peerPort, listenPort });
  });

  const sorDirectory = join(dataDirectory, 'sor');
  const sorPort = port + peerPortOffset + nodeCount;
  const sandboxDirectory = join(dataDirectory, 'sandbox');
  const sandboxPort = sorPort + 1;
  return {
    host,
    zone,
    dataDirectory,
    nodes,
    ...(settings.systemOfRecordUrl === undefined
      ? {
          systemOfRecord: {
            ...partAt('sor', 'system of record', sorDirectory),
            command: ['sor', '--data', join(sorDirectory, 'data'), '--host', host, '--port', String(sorPort)],
            ports: [sorPort],
            port: sorPort,
          },
        }
      : {}),
    sandbox: {
      ...partAt('sandbox', 'payment sandbox', sandboxDirectory),
      command: [
        'sandbox',
        '--data',
        join(sandboxDirectory, 'data'),
        '--host',
        host,
        '--port',
        String(sandboxPort),
        '--webhook-secret',
        webhookSecret,
        ...nodes.flatMap(({ httpUrl }) => ['--webhook', `${httpUrl}/webhooks/stripe`]),
      ],
      ports: [sandboxPort],
      port: sandboxPort,
      url: `http://${host}:${String(sandboxPort)}`,
      webhookSecret,
    },
  };
}

/** A node that joins the running cluster: `n4` to `n9`. Its links are not proxied. Undefined for another name. */
export function newcomerOf(settings: DevSettings, name: string): PlannedNode | undefined {
  const number = Number(/^n([4-9])$/.exec(name)?.[1]);
  if (Number.isNaN(number)) return undefined;
  const httpPort = settings.port + number - 1;
  const peerPort = httpPort + peerPortOffset + newcomerOffset;
  return nodeAt(settings.dataDirectory, number, { httpPort, peerPort, listenPort: peerPort });
}

export function partsOf(plan: Plan): readonly PlannedPart[] {
  const supporting = plan.systemOfRecord === undefined ? [plan.sandbox] : [plan.systemOfRecord, plan.sandbox];
  return [...supporting, ...plan.nodes];
}

function nodeAt(
  dataDirectory: string,
  number: number,
  ports: Pick<PlannedNode, 'httpPort' | 'peerPort' | 'listenPort'>,
): PlannedNode {
  const name = `n${String(number)}`;
  const directory = join(dataDirectory, name);
  const configFile = join(directory, 'freehold.yaml');
  return {
    ...partAt(name, `node ${name}`, directory),
    command: ['node', '--config', configFile],
    ports: [...new Set([ports.httpPort, ports.peerPort, ports.listenPort])],
    ...ports,
    httpUrl: `http://${host}:${String(ports.httpPort)}`,
    configFile,
    dataDirectory: join(directory, 'data'),
  };
}

function partAt(name: string, title: string, directory: string) {
  return {
    name,
    title,
    directory,
    pidFile: join(directory, 'node.pid'),
    logFile: join(directory, 'log', `${name}.log`),
  };
}
