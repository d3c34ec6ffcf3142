import { parseArgs } from 'node:util';
import type { ParseArgsOptionsConfig } from 'node:util';
import { suggest } from '../config/suggest.ts';
import { UsageError } from './context.ts';

/** `node:util` parseArgs with errors for people: UsageError that names the option and the nearest known one. */
export function parseArguments<const Options extends ParseArgsOptionsConfig>(
  command: string,
  args: readonly string[],
  options: Options,
  positionals: { readonly names: readonly string[]; readonly optional?: readonly string[] } = { names: [] },
) {
  const parsed = parse();
  for (const [index, name] of positionals.names.entries())
    if (parsed.positionals[index] === undefined)
      throw new UsageError(`freehold ${command}: ${name} is missing`);
  const surplus = parsed.positionals[positionals.names.length + (positionals.optional?.length ?? 0)];
  if (surplus !== undefined) throw new UsageError(`freehold ${command}: unexpected argument ${surplus}`);
  return parsed;

  function parse() {
    try {
      return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    } catch (error) {
      throw new UsageError(`freehold ${command}: ${explain(error, Object.keys(options))}`);
    }
  }
}

function explain(error: unknown, known: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error);
  const unknown = /^Unknown option '(-{1,2}([^']+))'/.exec(message);
  if (unknown === null) return message;
  const meant = suggest(unknown[2] ?? '', known);
  return `unknown option ${unknown[1] ?? ''}${meant === undefined ? '' : `; did you mean --${meant}?`}`;
}

/** An option that a command cannot do without. */
export function required(command: string, option: string, value: string | undefined): string {
  if (value === undefined || value === '')
    throw new UsageError(`freehold ${command}: --${option} is required`);
  return value;
}

export function portNumber(
  source: string,
  value: string,
  { min = 0, max = 65_535 }: { readonly min?: number; readonly max?: number } = {},
): number {
  const port = Number(value);
  if (!/^\d{1,5}$/.test(value) || port < min || port > max)
    throw new UsageError(`${source} must be a port number from ${min} to ${max}, not ${value}`);
  return port;
}

/** Where a node is asked when nothing is said. */
export const nodeUrlDefault = 'http://127.0.0.1:8080';

/** The HTTP interface of a node, as `--url` gives it, without a slash at its end. */
export function nodeUrl(command: string, text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new UsageError(`freehold ${command}: --url must be such as ${nodeUrlDefault}, not ${text}`);
  return url.href.replace(/\/+$/, '');
}
