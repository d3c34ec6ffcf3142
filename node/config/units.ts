import { isIP } from 'node:net';
import * as z from 'zod';

/** Values as an operator writes them: a number with its unit, `host:port`, a URL. Each parses to what the program uses. */

const millisecondsPer = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

interface DurationBounds {
  readonly min: string;
  readonly max: string;
}

/** `250ms`, `10s`, `15m`, `1h`, `7d` to milliseconds, within bounds. */
export function duration(bounds: DurationBounds) {
  const expectation = 'must be a duration with its unit, such as 10s or 15m';
  return z
    .string({ error: (issue) => unlessMissing(issue.input, expectation) })
    .transform((text, context) => durationWithin(bounds, text, context));
}

/** The same, or `0`, which needs no unit. */
export function durationOrZero(bounds: DurationBounds) {
  const expectation = 'must be a duration with its unit, such as 30d, or 0';
  return z
    .union([z.string(), z.literal(0)], { error: (issue) => unlessMissing(issue.input, expectation) })
    .transform((text, context) => (text === 0 ? 0 : durationWithin(bounds, text, context)));
}

function durationWithin({ min, max }: DurationBounds, text: string, context: z.RefinementCtx): number {
  const value = parseDuration(text);
  if (value === undefined) {
    context.addIssue('must be a duration with its unit (ms, s, m, h, d), such as 10s or 15m');
    return z.NEVER;
  }
  if (value < (parseDuration(min) ?? 0) || value > (parseDuration(max) ?? Infinity)) {
    context.addIssue(`must be from ${min} to ${max}`);
    return z.NEVER;
  }
  return value;
}

/** In milliseconds; undefined when it is not a duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * millisecondsPer[match[2] as keyof typeof millisecondsPer];
}

const bytesPer = { KB: 1_000, MB: 1_000_000, GB: 1_000_000_000, TB: 1_000_000_000_000 } as const;

/** `512MB`, `2GB` to bytes; `0` needs no unit. */
export const size = z
  .union([z.string(), z.literal(0)], {
    error: (issue) => unlessMissing(issue.input, 'must be a size with its unit, such as 512MB'),
  })
  .transform((text, context) => {
    const match = /^(\d{1,6})(KB|MB|GB|TB)$/.exec(String(text));
    if (match !== null) return Number(match[1]) * bytesPer[match[2] as keyof typeof bytesPer];
    if (Number(text) === 0) return 0;
    context.addIssue('must be a size with its unit (KB, MB, GB, TB), such as 512MB, or 0');
    return z.NEVER;
  });

/** `10.0.0.7`, `10.0.0.0/8` or `fd00::/8`. */
export const network = text('must be an address or a network, such as 10.0.0.0/8').refine(
  (value) => {
    const [address = '', prefix, ...more] = value.split('/');
    const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
    const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
    return bits > 0 && isPrefix && more.length === 0;
  },
  { error: 'must be an address or a network, such as 10.0.0.0/8' },
);

export function integer(min: number, max: number) {
  const expectation = `must be a whole number from ${String(min)} to ${String(max)}`;
  return z
    .number({ error: (issue) => unlessMissing(issue.input, expectation) })
    .refine((value) => Number.isInteger(value) && value >= min && value <= max, { error: expectation });
}

export const port = integer(1, 65_535);

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** `db.internal:9000` or `[::1]:9000`. */
export const hostAndPort = text('must be host:port, such as 10.0.0.7:9081').transform(
  (value, context): HostAndPort => {
    const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(value);
    const host = match?.[1] ?? match?.[2];
    const number = Number(match?.[3]);
    if (host === undefined || !port.safeParse(number).success) {
      context.addIssue('must be host:port, such as 10.0.0.7:9081 or [::1]:9081');
      return z.NEVER;
    }
    return { host, port: number };
  },
);

/** A URL of one of `protocols` (given with their colon). The text itself is never repeated: it may hold a password. */
export function url(protocols: readonly string[]) {
  const expectation = `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`;
  return text(expectation).refine(
    (value) => {
      const parsed = URL.parse(value);
      return parsed !== null && protocols.includes(parsed.protocol) && parsed.hostname !== '';
    },
    { error: expectation },
  );
}

/** A non-empty string that also says what it should have been when it is something else. */
export function text(expectation: string) {
  return z
    .string({ error: (issue) => unlessMissing(issue.input, expectation) })
    .min(1, { error: expectation });
}

export function unlessMissing(input: unknown, expectation: string): string {
  if (input === undefined) return 'is required';
  if (input === null) return `has no value; it ${expectation}`;
  return expectation;
}
