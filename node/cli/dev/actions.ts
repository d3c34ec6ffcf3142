import type { ParseArgsOptionsConfig } from 'node:util';
import { parseArguments } from '../arguments.ts';
import { suggest } from '../../config/suggest.ts';
import { UsageError } from '../context.ts';
import type { ControlRequest } from './control.ts';

/** What can be typed after `freehold dev` while a cluster runs, and the request it becomes. Pure. */

interface Action {
  readonly names: readonly string[];
  readonly optional?: readonly string[];
  readonly options?: ParseArgsOptionsConfig;
  readonly request: (
    positionals: readonly (string | undefined)[],
    values: Readonly<Record<string, unknown>>,
  ) => Readonly<Record<string, unknown>>;
}

const onPart: Action = { names: ['PART'], request: ([target]) => ({ target }) };

const actions: Readonly<Record<string, Action>> = {
  kill: {
    names: ['PART'],
    options: { signal: { type: 'string' } },
    request: ([target], { signal }) => ({ target, signal }),
  },
  revive: onPart,
  add: { names: ['NODE'], request: ([target]) => ({ target }) },
  pause: onPart,
  resume: onPart,
  wipe: { names: ['NODE'], request: ([target]) => ({ target }) },
  partition: {
    names: ['NODE'],
    optional: ['OTHER'],
    options: { 'one-way': { type: 'string' } },
    request: ([target, other], { 'one-way': oneWay }) => ({ target, other, oneWay }),
  },
  slow: { names: ['NODE', 'DELAY'], request: ([target, delay]) => ({ target, delay }) },
  heal: { names: [], optional: ['NODE'], request: ([target]) => ({ target }) },
  payments: {
    names: ['show|faults|hostile|calm'],
    optional: ['FILE'],
    options: { seed: { type: 'string' } },
    request: ([mood, file], { seed }) => ({ mood, file, seed }),
  },
  status: { names: [], request: () => ({}) },
};

/** Throws UsageError. */
export function readAction([name = '', ...rest]: readonly string[]): ControlRequest {
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action === undefined) {
    const meant = suggest(name, Object.keys(actions));
    throw new UsageError(
      `freehold dev: ${name} is not an action${meant === undefined ? '' : `; did you mean ${meant}?`}`,
    );
  }
  const { names, optional = [], options = {}, request } = action;
  const { values, positionals } = parseArguments(`dev ${name}`, rest, options, { names, optional });
  // What was not typed is left out, rather than sent as undefined.
  const given = Object.entries(request(positionals, values)).filter(([, value]) => value !== undefined);
  return { action: name, ...Object.fromEntries(given) };
}
