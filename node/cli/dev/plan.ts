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
  /** Whether it is one of those that the cluster is founded with. */
  readonly founds: boolean;
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
  /** Those to start. */
  readonly nodes: readonly PlannedNode[];
  /** Those that took part once, and whose directories are still there. */
  readonly removed: readonly PlannedNode[];
  /** Absent when a PostgreSQL was named. */
  readonly systemOfRecord?: PlannedPart & { readonly port: number };
  readonly sandbox: PlannedPart & {
    readonly port: number;
    readonly url: string;
    /** What it signs its events with. */
    readonly webhookSecret: string;
  };
}

/** Those that a cluster is founded with. */
export const founders: readonly string[] = ['n1', 'n2', 'n3'];
/** Those that may be added to it. */
export const newcomers: readonly string[] = ['n4', 'n5', 'n6', 'n7', 'n8', 'n9'];

const host = '127.0.0.1';
const zone = 'local';
/** Peer ports lie this far above the HTTP ports; the system of record and the sandbox come after them. */
const peerPortOffset = 1_000;
/** What is behind the proxy lies this far above what is in front of it. */
const proxiedOffset = 10;
/** Of no use to anybody: there is no money behind it. */
const webhookSecret = 'whsec_sandbox';
/** Beyond everything that a cluster starts with. */
const newcomerOffset = 20;

/** Which nodes there are, by name; a new cluster has its founders. */
export interface Names {
  readonly present: readonly string[];
  readonly removed: readonly string[];
}

export function planOf(settings: DevSettings, names: Names = { present: founders, removed: [] }): Plan {
  const { dataDirectory, port } = settings;
  const planned = (wanted: readonly string[]) => wanted.flatMap((name) => nodeOf(settings, name) ?? []);
  const nodes = planned(names.present);

  const sorDirectory = join(dataDirectory, 'sor');
  const sorPort = port + peerPortOffset + founders.length;
  const sandboxDirectory = join(dataDirectory, 'sandbox');
  const sandboxPort = sorPort + 1;
  return {
    host,
    zone,
    dataDirectory,
    nodes,
    removed: planned(names.removed),
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

/** The node of that name, `n1` to `n9`, which has the same place and ports in every run. Undefined for another name. */
export function nodeOf({ dataDirectory, port, direct }: DevSettings, name: string): PlannedNode | undefined {
  const founds = founders.includes(name);
  if (!founds && !newcomers.includes(name)) return undefined;
  const httpPort = port + Number(name.slice(1)) - 1;
  const peerPort = httpPort + peerPortOffset + (founds ? 0 : newcomerOffset);
  const listenPort = direct ? peerPort : peerPort + proxiedOffset;
  const directory = join(dataDirectory, name);
  const configFile = join(directory, 'freehold.yaml');
  return {
    ...partAt(name, `node ${name}`, directory),
    command: ['node', '--config', configFile],
    ports: [...new Set([httpPort, peerPort, listenPort])],
    founds,
    httpPort,
    peerPort,
    listenPort,
    httpUrl: `http://${host}:${String(httpPort)}`,
    configFile,
    dataDirectory: join(directory, 'data'),
  };
}

/** Those to start. */
export function partsOf(plan: Plan): readonly PlannedPart[] {
  const supporting = plan.systemOfRecord === undefined ? [plan.sandbox] : [plan.systemOfRecord, plan.sandbox];
  return [...supporting, ...plan.nodes];
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
