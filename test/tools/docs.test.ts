import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { configSchema, keysAt } from '../../node/config/schema.ts';
import { DEFINITIONS } from '../../node/metrics/names.ts';

/** The documentation names files, keys, metrics and tests: what it names must be there. */

const root = resolve(import.meta.dirname, '../..');
const folders = ['node', 'store', 'guest-functions', 'deploy', 'bench', 'test'];
const files = globSync(
  folders.map((folder) => `${folder}/**/*.*`),
  { cwd: root },
);
const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'guest-functions/README.md',
  'deploy/README.md',
  ...globSync(['node/**/DESIGN.md', 'store/**/DESIGN.md'], { cwd: root }),
];

const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');
/** Without fenced blocks, which show other people's files and the output of commands. */
const proseOf = (page: string): string => textOf(page).replaceAll(/^```[\s\S]*?^```$/gm, '');

describe.each(pages)('%s', (page) => {
  it('links to what exists', () => {
    const targets = [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    const relative = targets.filter((target) => !/^(https?:|mailto:|#)/.test(target));
    const missing = relative.filter(
      (target) => !existsSync(join(root, dirname(page), target.split('#')[0] ?? '')),
    );
    expect(missing).toEqual([]);
  });

  it('names files that exist', () => {
    const spans = [...proseOf(page).matchAll(/`([\w./-]+\.(?:ts|md|sh|sql|csv|service))`/g)];
    const named = spans.map(([, name = '']) => name).filter((name) => !name.startsWith('/'));
    // From the root or from the page; or the end of a path that the text around it makes clear.
    const missing = named.filter(
      (name) =>
        !existsSync(join(root, name)) &&
        !existsSync(join(root, dirname(page), name)) &&
        !files.some((file) => file.endsWith(`/${name}`)),
    );
    expect(missing).toEqual([]);
  });

  it('names metrics that the program has', () => {
    const real = new Set(DEFINITIONS.map(({ name }) => name));
    const named = [...textOf(page).matchAll(/\bfreehold_[a-z_]+[a-z]\b/g)].map(([name]) =>
      name.replace(/_(?:bucket|sum|count)$/, ''),
    );
    expect(named.filter((name) => !real.has(name))).toEqual([]);
  });
});

describe('the configuration table of README.md', () => {
  const rows = new Map(
    [...section('README.md', 'Keys of freehold.yaml').matchAll(/^\| `([\w.[\]]+)`\s*\| ([^|]*)\|/gm)].map(
      ([, key = '', cell = '']) => [key, cell.trim()],
    ),
  );

  it('has a row for every key of freehold.yaml, and for nothing else', () => {
    expect([...rows.keys()].toSorted()).toEqual(keysBelow([]).toSorted());
  });

  it('gives the defaults that the program has', () => {
    const whole = document();
    for (const [key, cell] of rows) {
      const value = /^`(.+)`$/.exec(cell)?.[1];
      if (value === undefined) continue;
      expect(configSchema.parse(document(key, parse(value))), key).toEqual(configSchema.parse(whole));
    }
  });

  it('says of every key that must be given that it must', () => {
    const required = [...rows].filter(([, cell]) => cell === 'required').map(([key]) => key);
    expect(required).toEqual(['node', 'members[].id', 'members[].peerId', 'members[].address']);
    expect(() => configSchema.parse(document())).not.toThrow();
  });
});

it.each(['store/DESIGN.md', 'node/workflow/DESIGN.md'])('%s names tests that exist', (page) => {
  const guards = [...textOf(page).matchAll(/`(test\/[\w./-]+\.ts)`((?:,? “[^”]+”)+)/g)];
  const named = guards.flatMap(([, file = '', names = '']) =>
    [...names.matchAll(/“([^”]+)”/g)].map(([, name = '']) => ({ file, name: name.replace(/…$/, '') })),
  );
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(({ file, name }) => !textOf(file).includes(name))).toEqual([]);
});

/** What stands under a heading, up to the next one. */
function section(page: string, heading: string): string {
  const [, after = ''] = textOf(page).split(new RegExp(`^#+ ${heading}$`, 'm'));
  return after.split(/^#/m)[0] ?? '';
}

/** `payments.capture`, `members[].peerId`: every key that holds a value. */
function keysBelow(path: readonly PropertyKey[]): readonly string[] {
  return keysAt(path).flatMap((key) => {
    const below = [...path, key];
    // A list of sections: their keys are those of its elements.
    if (keysAt([...below, 0]).length > 0 && keysAt(below).length === 0) return keysBelow([...below, 0]);
    if (keysAt(below).length > 0) return keysBelow(below);
    const name = below.map((step) => (typeof step === 'number' ? '[]' : `.${String(step)}`)).join('');
    return [name.slice(1)];
  });
}

/** The shortest file there can be, with one key set when one is given. */
function document(key?: string, value?: unknown): Record<string, unknown> {
  const member: Record<string, unknown> = {
    id: 'n1',
    peerId: `12D3KooW${'a'.repeat(44)}`,
    address: '127.0.0.1:9080',
  };
  const made: Record<string, unknown> = { node: 'n1', members: [member], systemOfRecord: {}, payments: {} };
  const [section = '', ...inner] = (key ?? '').split('.');
  if (key === undefined) return made;
  const set = inner.reduceRight<unknown>((nested, step) => ({ [step]: nested }), value);
  if (section === 'members[]') Object.assign(member, set);
  else if (inner.length === 0) made[section] = set;
  else made[section] = { ...(made[section] as object | undefined), ...(set as object) };
  return made;
}
