import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import type { NodeId } from '../store/environment.ts';
import type { CaptureMode } from './orders/order.ts';
import { relationProblems, whyWrongUrl } from './config/relations.ts';
import type { SystemOfRecordKind } from './config/relations.ts';
import type { Problem } from './config/relations.ts';
import { configSchema, keysAt } from './config/schema.ts';
import type { ConfigDocument } from './config/schema.ts';
import { Secret } from './config/secret.ts';
import { suggest } from './config/suggest.ts';
import type { HostAndPort } from './config/units.ts';

/**
 * One node's configuration: parsed from one YAML file, validated, frozen. Nothing else in the program reads
 * that file, and nothing but this file knows how it is written. Every problem found is reported at once.
 */

export interface MemberConfig {
  readonly id: NodeId;
  /** libp2p peer id: only these may connect. */
  readonly peerId: string;
  /** Where the other members dial it. */
  readonly address: HostAndPort;
  readonly zone: string;
  readonly voter: boolean;
  /** Its HTTP API as seen from outside, for operators. */
  readonly http?: string;
}

export interface NodeConfig {
  /** Absolute path of the file it came from. */
  readonly file: string;
  readonly node: NodeId;
  readonly zone: string;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly disk: {
    /** Room on the data directory's file system that new orders may not take. */
    readonly reserveBytes: number;
  };
  /** Where the HTTP API listens. */
  readonly http: HostAndPort & {
    /** Addresses and networks of proxies that are believed when they say whom they speak for. */
    readonly trustProxy: readonly string[];
    /** How long a request may take, waiting that its client asked for not included. */
    readonly requestTimeoutMs: number;
    /** How long a node that was told to stop serves on as ever, while it says that it is not ready. */
    readonly drainDelayMs: number;
    /** Of one client; absent when it is not limited. */
    readonly rateLimit?: { readonly perClient: number; readonly windowMs: number };
  };
  /** Where the other members are listened for. */
  readonly peers: HostAndPort;
  /** All members of the cluster, this one included, as in the file. */
  readonly members: readonly MemberConfig[];
  readonly cluster: {
    /** Whether this node, if its disk is empty, founds a cluster with the voters of its file. */
    readonly found: boolean;
  };
  readonly systemOfRecord: {
    readonly kind: SystemOfRecordKind;
    readonly url: Secret;
    /** For HTTP: sent with every request. */
    readonly token?: Secret;
  };
  /** Absolute path of a CSV catalogue for an empty system of record. */
  readonly catalog?: string;
  readonly payments: PaymentsConfig;
  readonly orders: {
    /** How long units stay held for an order that does not come to an end. */
    readonly holdForMs: number;
    /** No product and no function has units held for longer. */
    readonly holdAtMostMs: number;
    /** Units of one product that an order may have. */
    readonly maxQuantity: number;
    /** Orders driven at once by this node; beyond it, new ones are refused with 503. */
    readonly maxOpen: number;
    /** How long a customer has to authenticate a payment. */
    readonly authenticateWithinMs: number;
    /** An order that waits this long for its client's retry is closed. */
    readonly abandonAfterMs: number;
    /** A member that was silent this long loses its orders to the others. */
    readonly takeOverAfterMs: number;
    /** An order that has ended and is in the system of record is kept this long after it was placed; 0 for ever. */
    readonly retainForMs: number;
  };
  readonly functions: {
    /** Absolute. */
    readonly directory: string;
    readonly workers: number;
  };
  readonly ledger: {
    readonly heartbeatMs: number;
    readonly electionTimeoutMs: number;
    readonly snapshotAfterEntries: number;
  };
  readonly log: { readonly level: LogLevel };
}

export interface PaymentsConfig {
  readonly provider: 'stripe';
  readonly apiKey: Secret;
  readonly apiBase: HostAndPort & { readonly protocol: 'http' | 'https' };
  readonly webhookSecret: Secret;
  readonly capture: CaptureMode;
  /** For the whole cluster. */
  readonly requestsPerSecond: number;
  readonly timeoutMs: number;
  /** Calls of this node on their way at once. */
  readonly maxConcurrent: number;
  /** How long after a payment was first asked for its idempotency key may still be sent. */
  readonly keyWindowMs: number;
  /** After this the provider's search finds what was made before it. */
  readonly searchLagMs: number;
  /** Orders of this node that the provider gives no answer to before new ones are refused with 503. */
  readonly maxUnanswered: number;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** The file cannot be used. `message` is ready to print; `problems` has one `file:line:column: key reason` each. */
export class ConfigError extends Error {
  readonly code = 'BAD_CONFIG';
  readonly problems: readonly string[];

  constructor(file: string, problems: readonly string[]) {
    const count = problems.length === 1 ? '1 problem' : `${String(problems.length)} problems`;
    super(`${file}: ${count}\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Takes the path of a YAML file. Throws ConfigError with every problem it has. */
export function loadConfig(file: string): NodeConfig {
  const path = resolve(file);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(file, [`${file}: cannot be read (${reasonOf(error)})`]);
  }

  const lines = new LineCounter();
  // prettyErrors would quote the offending line, which may hold a secret.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0)
    throw new ConfigError(
      file,
      document.errors.map((error) => `${place(file, lines, error.pos[0])}: not valid YAML: ${error.message}`),
    );

  const raw: unknown = document.toJS() ?? {};
  const problems = [...relationProblems(raw)];
  const parsed = configSchema.safeParse(raw);
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap(explain));

  const describe = (problem: Problem): string => {
    const name = dotted(problem.path);
    return `${place(file, lines, offsetOf(document, problem.path))}: ${name} ${problem.reason}`;
  };
  if (!parsed.success || problems.length > 0)
    throw new ConfigError(file, inFileOrder(problems).map(describe));

  const config = build(path, parsed.data, problems);
  if (problems.length > 0) throw new ConfigError(file, problems.map(describe));
  return deepFreeze(config);

  function inFileOrder(found: readonly Problem[]): readonly Problem[] {
    return found.toSorted(
      (left, right) => (offsetOf(document, left.path) ?? 0) - (offsetOf(document, right.path) ?? 0),
    );
  }
}

/** Resolves paths and secrets. Adds to `problems` what it cannot read. */
function build(file: string, document: ConfigDocument, problems: Problem[]): NodeConfig {
  const directory = dirname(file);

  const secret = (section: 'payments' | 'systemOfRecord', key: string): Secret => {
    const values = document[section] as Record<string, unknown>;
    const value = values[key];
    if (typeof value === 'string') return new Secret(value);
    const secretFile = resolve(directory, String(values[`${key}File`]));
    try {
      const content = readFileSync(secretFile, 'utf8').trim();
      if (content !== '') return new Secret(content);
      problems.push({ path: [section, `${key}File`], reason: `names an empty file, ${secretFile}` });
    } catch (error) {
      problems.push({
        path: [section, `${key}File`],
        reason: `names a file that cannot be read, ${secretFile} (${reasonOf(error)})`,
      });
    }
    return new Secret('');
  };

  const { payments, orders, ledger } = document;
  if (ledger.electionTimeout < 5 * ledger.heartbeat)
    problems.push({
      path: ['ledger', 'electionTimeout'],
      reason: 'must be at least five heartbeats, or one late packet starts an election',
    });

  const systemOfRecordUrl = secret('systemOfRecord', 'url');
  const { kind, urlFile, token, tokenFile } = document.systemOfRecord;
  const fromFile = urlFile !== undefined && problems.length === 0;
  const wrong = fromFile ? whyWrongUrl(kind, systemOfRecordUrl.reveal()) : undefined;
  if (wrong !== undefined)
    problems.push({ path: ['systemOfRecord', 'urlFile'], reason: wrong.replace('be', 'hold') });
  const hasToken = token !== undefined || tokenFile !== undefined;

  const apiBase = new URL(payments.apiBase);
  const https = apiBase.protocol === 'https:';
  return {
    file,
    node: document.node,
    zone: document.zone,
    dataDirectory: resolve(directory, document.data),
    disk: { reserveBytes: document.disk.reserve },
    http: httpOf(document.http),
    peers: document.peers,
    members: document.members.map(({ id, peerId, address, zone, voter, http }) => ({
      id,
      peerId,
      address,
      zone: zone ?? document.zone,
      voter,
      ...(http === undefined ? {} : { http }),
    })),
    cluster: document.cluster,
    systemOfRecord: {
      kind,
      url: systemOfRecordUrl,
      ...(hasToken ? { token: secret('systemOfRecord', 'token') } : {}),
    },
    ...(document.catalog === undefined ? {} : { catalog: resolve(directory, document.catalog) }),
    payments: {
      provider: payments.provider,
      apiKey: secret('payments', 'apiKey'),
      apiBase: {
        protocol: https ? 'https' : 'http',
        host: apiBase.hostname,
        port: apiBase.port === '' ? (https ? 443 : 80) : Number(apiBase.port),
      },
      webhookSecret: secret('payments', 'webhookSecret'),
      capture: payments.capture,
      requestsPerSecond: payments.requestsPerSecond,
      timeoutMs: payments.timeout,
      maxConcurrent: payments.maxConcurrent,
      keyWindowMs: payments.keyWindow,
      searchLagMs: payments.searchLag,
      maxUnanswered: payments.maxUnanswered,
    },
    orders: {
      holdForMs: orders.holdFor,
      holdAtMostMs: orders.holdAtMost,
      maxQuantity: orders.maxQuantity,
      maxOpen: orders.maxOpen,
      authenticateWithinMs: orders.authenticateWithin,
      abandonAfterMs: orders.abandonAfter,
      takeOverAfterMs: orders.takeOverAfter,
      retainForMs: orders.retainFor,
    },
    functions: {
      directory:
        document.functions.directory === undefined
          ? resolve(import.meta.dirname, '../guest-functions')
          : resolve(directory, document.functions.directory),
      workers: document.functions.workers,
    },
    ledger: {
      heartbeatMs: ledger.heartbeat,
      electionTimeoutMs: ledger.electionTimeout,
      snapshotAfterEntries: ledger.snapshotAfter,
    },
    log: document.log,
  };
}

function httpOf(http: ConfigDocument['http']): NodeConfig['http'] {
  const { host, port, trustProxy, requestTimeout, drainDelay } = http;
  const { perClient, window } = http.rateLimit;
  return {
    ...{ host, port, trustProxy, requestTimeoutMs: requestTimeout, drainDelayMs: drainDelay },
    ...(perClient === 0 ? {} : { rateLimit: { perClient, windowMs: window } }),
  };
}

type Issue = NonNullable<ReturnType<typeof configSchema.safeParse>['error']>['issues'][number];

function explain(issue: Issue): readonly Problem[] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, reason: issue.message }];
  const known = keysAt(issue.path);
  return issue.keys.map((key) => {
    const meant = suggest(key, known);
    const hint = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`;
    return { path: [...issue.path, key], reason: `is not a known key; ${hint}` };
  });
}

/** `members[1].peerId` */
function dotted(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the file';
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${String(step)}]` : `${index === 0 ? '' : '.'}${String(step)}`,
    )
    .join('');
}

/** Where `path`, or the nearest part of it that is written down, begins in the text. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length > 0; length -= 1) {
    const parent: unknown =
      length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isPair(item) && isScalar(item.key) && item.key.value === last);
      if (pair !== undefined && isNode(pair.key)) return pair.key.range?.[0];
    }
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node)) return node.range?.[0];
  }
  return undefined;
}

function place(file: string, lines: LineCounter, offset: number | undefined): string {
  if (offset === undefined) return file;
  const { line, col } = lines.linePos(offset);
  return `${file}:${String(line)}:${String(col)}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || value instanceof Secret) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
