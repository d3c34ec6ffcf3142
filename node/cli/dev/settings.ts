import { resolve } from 'node:path';
import type { CaptureMode } from '../../orders/order.ts';
import { suggest } from '../../config/suggest.ts';
import { portNumber, parseArguments } from '../arguments.ts';
import { UsageError } from '../context.ts';

/** What a local cluster is asked to be, by the environment and the command line. */
export interface DevSettings {
  /** Absolute. */
  readonly dataDirectory: string;
  /** n1 listens here, n2 and n3 on the next two; see plan.ts for the others. */
  readonly port: number;
  /** Absolute path of the CSV that fills an empty system of record. */
  readonly catalog: string;
  readonly capture: CaptureMode;
  /** A PostgreSQL to use instead of an embedded one, or a service over HTTP. */
  readonly systemOfRecordUrl?: string;
  /** What a service over HTTP knows the nodes by. */
  readonly systemOfRecordToken?: string;
  readonly logLevel: string;
  /** Keys of freehold.yaml to set in every node's file, such as `orders.holdFor`, `20s`. */
  readonly overrides: readonly (readonly [key: string, value: string])[];
  /** Nodes connect to each other without a proxy in between: a little faster, and no link can be cut. */
  readonly direct: boolean;
  /** Where each node leaves its CPU profile when it stops. */
  readonly profileDirectory?: string;
}

export const variables = {
  FREEHOLD_PORT: "n1's HTTP port, default 8081; the other ports follow from it",
  FREEHOLD_DATA: 'where everything is kept, default .freehold',
  FREEHOLD_CATALOG: 'CSV that fills an empty system of record, default deploy/catalog.csv',
  FREEHOLD_CAPTURE: 'after-reserve (default) or immediate: when the money is taken',
  FREEHOLD_SOR_URL: 'a PostgreSQL, or an HTTP service, to use as system of record, default an embedded one',
  FREEHOLD_SOR_TOKEN: 'bearer token of such an HTTP service, default none',
  FREEHOLD_LOG: 'debug, info (default), warn, error or silent',
} as const;

type Environment = Readonly<Record<string, string | undefined>>;

/** The directory alone: what the commands that speak to a running cluster need. */
export function dataDirectoryOf(environment: Environment, root: string): string {
  return resolve(root, environment.FREEHOLD_DATA ?? '.freehold');
}

/** Throws UsageError. `note` is told about variables that look like ours and are not. */
export function readSettings(
  args: readonly string[],
  environment: Environment,
  root: string,
  note: (line: string) => void,
): DevSettings {
  const { values } = parseArguments('dev', args, {
    set: { type: 'string', multiple: true, default: [] },
    direct: { type: 'boolean', default: false },
    profile: { type: 'string' },
  });
  for (const name of Object.keys(environment)) if (name.startsWith('FREEHOLD_')) noteUnknown(name, note);

  const port = portNumber('FREEHOLD_PORT', environment.FREEHOLD_PORT ?? '8081', { min: 1, max: 64_000 });

  const capture = environment.FREEHOLD_CAPTURE ?? 'after-reserve';
  if (capture !== 'after-reserve' && capture !== 'immediate')
    throw new UsageError(`FREEHOLD_CAPTURE must be after-reserve or immediate, not ${capture}`);

  const { FREEHOLD_SOR_URL: systemOfRecordUrl, FREEHOLD_SOR_TOKEN: systemOfRecordToken } = environment;
  if (systemOfRecordToken !== undefined && !isHttp(systemOfRecordUrl))
    throw new UsageError('FREEHOLD_SOR_TOKEN is for a FREEHOLD_SOR_URL that starts with https:// or http://');
  return {
    dataDirectory: dataDirectoryOf(environment, root),
    port,
    catalog: resolve(root, environment.FREEHOLD_CATALOG ?? 'deploy/catalog.csv'),
    capture,
    ...(systemOfRecordUrl === undefined ? {} : { systemOfRecordUrl }),
    ...(systemOfRecordToken === undefined ? {} : { systemOfRecordToken }),
    logLevel: environment.FREEHOLD_LOG ?? 'info',
    overrides: values.set.map(readOverride),
    direct: values.direct,
    ...(values.profile === undefined ? {} : { profileDirectory: resolve(root, values.profile) }),
  };
}

/** Whether the system of record is a service over HTTP, which fills its catalogue itself. */
export function isHttp(systemOfRecordUrl: string | undefined): boolean {
  return systemOfRecordUrl !== undefined && /^https?:/.test(systemOfRecordUrl);
}

function readOverride(text: string): readonly [key: string, value: string] {
  const split = text.indexOf('=');
  if (split < 1) throw new UsageError(`--set must be KEY=VALUE, such as orders.holdFor=20s, not ${text}`);
  return [text.slice(0, split), text.slice(split + 1)];
}

function noteUnknown(name: string, note: (line: string) => void): void {
  if (name in variables) return;
  const meant = suggest(name, Object.keys(variables));
  note(`${name} is set, but has no meaning here${meant === undefined ? '' : `; did you mean ${meant}?`}`);
}
