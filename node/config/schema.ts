import * as z from 'zod';
import { defaultPorts } from './relations.ts';
import {
  duration,
  durationOrZero,
  hostAndPort,
  integer,
  network,
  port,
  size,
  text,
  unlessMissing,
  url,
} from './units.ts';

/**
 * What may stand in `freehold.yaml`, key by key, with its bounds and defaults. What depends on other files or
 * on the file's own place (paths, secrets) is resolved by config.ts; what relates one key to another is checked
 * by relations.ts.
 */

const nodeName = text('must be a name such as n1').regex(/^[a-z][a-z0-9-]{0,31}$/, {
  error: 'must be lower-case letters, digits and dashes, start with a letter, and have at most 32 characters',
});

const flag = z.boolean({ error: (issue) => unlessMissing(issue.input, 'must be true or false') });

function choice<const Choices extends readonly [string, ...string[]]>(choices: Choices) {
  return z.enum(choices, {
    error: (issue) => unlessMissing(issue.input, `must be one of: ${choices.join(', ')}`),
  });
}

function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'invalid_type'
        ? unlessMissing(issue.input, 'must be a map of keys and values')
        : undefined,
  });
}

/** 0 picks a free one. */
const httpPort = integer(0, 65_535);

const path = text('must be a path');

const member = section({
  id: nodeName,
  peerId: text('must be a peer id').regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/, {
    error: 'must be the peer id that `freehold identity --data DIR` prints on that node (12D3KooW…)',
  }),
  address: hostAndPort,
  zone: nodeName.optional(),
  voter: flag.default(true),
  http: url(['http:', 'https:']).optional(),
});

export const configSchema = section({
  node: nodeName,
  zone: nodeName.default('main'),
  data: path.default('data'),
  disk: section({ reserve: size.prefault('512MB') }).prefault({}),
  http: section({
    host: text('must be a host').default('127.0.0.1'),
    port: httpPort.default(defaultPorts.http),
    trustProxy: z.array(network, { error: 'must be a list of addresses and networks' }).max(64).default([]),
    requestTimeout: duration({ min: '1s', max: '10m' }).prefault('30s'),
    drainDelay: durationOrZero({ min: '100ms', max: '10m' }).prefault(0),
    rateLimit: section({
      perClient: integer(0, 1_000_000).default(0),
      window: duration({ min: '1s', max: '1h' }).prefault('1m'),
    }).prefault({}),
  }).prefault({}),
  peers: section({
    host: text('must be a host').default('127.0.0.1'),
    port: port.default(defaultPorts.peers),
  }).prefault({}),
  members: z
    .array(member, {
      error: (issue) =>
        issue.code === 'invalid_type' ? unlessMissing(issue.input, 'must be a list of members') : undefined,
    })
    .min(1, { error: 'must list at least this node' })
    .max(32, { error: 'must list at most 32 members' }),
  cluster: section({ found: flag.default(false) }).prefault({}),
  systemOfRecord: section({
    kind: choice(['postgres', 'http']).default('postgres'),
    url: url(['postgres:', 'postgresql:', 'https:', 'http:']).optional(),
    urlFile: path.optional(),
    token: text('must be a token').optional(),
    tokenFile: path.optional(),
  }),
  catalog: path.optional(),
  payments: section({
    provider: choice(['stripe']).default('stripe'),
    apiKey: text('must be a key').optional(),
    apiKeyFile: path.optional(),
    apiBase: url(['https:', 'http:']).default('https://api.stripe.com'),
    webhookSecret: text('must be a secret').optional(),
    webhookSecretFile: path.optional(),
    capture: choice(['after-reserve', 'immediate']).default('after-reserve'),
    requestsPerSecond: integer(1, 100_000).default(80),
    timeout: duration({ min: '100ms', max: '80s' }).prefault('10s'),
    maxConcurrent: integer(1, 10_000).default(64),
    keyWindow: duration({ min: '1s', max: '23h' }).prefault('23h'),
    searchLag: duration({ min: '100ms', max: '1h' }).prefault('2m'),
    maxUnanswered: integer(1, 1_000_000).default(1_000),
  }),
  orders: section({
    holdFor: duration({ min: '1s', max: '7d' }).prefault('15m'),
    holdAtMost: duration({ min: '1s', max: '7d' }).prefault('24h'),
    maxQuantity: integer(1, 1_000_000).default(10_000),
    maxOpen: integer(1, 1_000_000).default(5_000),
    authenticateWithin: duration({ min: '1s', max: '7d' }).prefault('15m'),
    abandonAfter: duration({ min: '1s', max: '7d' }).prefault('15m'),
    takeOverAfter: duration({ min: '500ms', max: '10m' }).prefault('3s'),
    retainFor: durationOrZero({ min: '1s', max: '3650d' }).prefault('30d'),
  }).prefault({}),
  functions: section({
    directory: path.optional(),
    workers: integer(1, 64).default(2),
  }).prefault({}),
  ledger: section({
    heartbeat: duration({ min: '10ms', max: '10s' }).prefault('100ms'),
    electionTimeout: duration({ min: '100ms', max: '60s' }).prefault('1s'),
    snapshotAfter: integer(100, 10_000_000).default(50_000),
  }).prefault({}),
  log: section({ level: choice(['debug', 'info', 'warn', 'error', 'silent']).default('info') }).prefault({}),
});

export type ConfigDocument = z.output<typeof configSchema>;

/** The keys that may stand at `path`, for a suggestion when another one does. */
export function keysAt(path: readonly PropertyKey[]): readonly string[] {
  let here: unknown = unwrap(configSchema);
  for (const step of path) {
    if (here instanceof z.ZodArray) here = unwrap(here.element);
    else if (here instanceof z.ZodObject) here = unwrap((here.shape as Record<PropertyKey, unknown>)[step]);
  }
  return here instanceof z.ZodObject ? Object.keys(here.shape) : [];
}

function unwrap(schema: unknown): unknown {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault || schema instanceof z.ZodOptional)
    return unwrap(schema.unwrap());
  return schema;
}
