import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkBoundaries } from './boundaries.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'freehold-boundaries-'));
  write(
    'tsconfig.json',
    '{ "compilerOptions": { "module": "NodeNext", "allowImportingTsExtensions": true } }',
  );
  write('package.json', '{ "type": "module", "dependencies": {} }');
  for (const folder of ['bench', 'test']) mkdirSync(join(root, folder));
  write('store/index.ts', "export * from './journal/port.ts';");
  write('store/journal/port.ts', 'export interface Journal { readonly size: number }');
  write('store/journal/journal.ts', 'export const journal = 1;');
  write('node/orders/order.ts', 'export interface Order { readonly id: string }');
  write('node/payments/pay.ts', "import type { Order } from '../orders/order.ts'; export type Paid = Order;");
  write(
    'node/compose.ts',
    "import '../store/index.ts'; import './payments/pay.ts'; import './http/server.ts';",
  );
  write(
    'node/http/server.ts',
    "import type { Journal } from '../../store/journal/port.ts'; export type J = Journal;",
  );
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function write(path: string, content: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

it('finds nothing wrong with parts that meet in compose.ts and at ports', async () => {
  expect(await checkBoundaries(root)).toEqual({ modules: 7, violations: [] });
});

it.each([
  [
    'store-knows-no-orders',
    'store/journal/bad.ts',
    "import type { Order } from '../../node/orders/order.ts'; export type O = Order;",
  ],
  ['store-has-one-door', 'node/http/bad.ts', "import '../../store/journal/journal.ts';"],
  ['consensus-imports-nothing', 'store/consensus/bad.ts', "import '../journal/journal.ts';"],
  ['consensus-imports-nothing', 'store/consensus/bad.ts', "import 'node:assert';"],
  ['pure-means-pure', 'node/orders/bad.ts', "import 'node:fs';"],
  ['pure-means-pure', 'store/ledger/stock.ts', "import 'node:fs';"],
  [
    'siblings-meet-in-compose',
    'node/http/bad.ts',
    "import type { Paid } from '../payments/pay.ts'; export type P = Paid;",
  ],
  ['siblings-meet-in-compose', 'node/http/bad.ts', "import '../config.ts';"],
  ['words-and-ports-come-first', 'node/ports/bad.ts', "import '../payments/pay.ts';"],
  ['cli-starts-whole-programs', 'node/cli/bad.ts', "import '../http/server.ts';"],
  ['compose-is-the-top', 'node/lifecycle.ts', "import './compose.ts';"],
  ['nothing-ships-test-code', 'node/http/bad.ts', "import '../../test/support.ts';"],
  ['bench-uses-the-harness-only', 'bench/bad.ts', "import '../test/support.ts';"],
  ['no-dead-ends', 'node/http/bad.ts', "import './absent.ts';"],
])('%s: refuses %s with %s', async (rule, path, content) => {
  write('test/support.ts', 'export const support = 1;');
  write('node/config.ts', 'export const config = 1;');
  write(path, content);
  const { violations } = await checkBoundaries(root);
  expect(violations.join('\n')).toContain(rule);
  expect(violations.every((violation) => violation.startsWith(path))).toBe(true);
});

it('fails when it had nothing to read', async () => {
  rmSync(join(root, 'store'), { recursive: true });
  mkdirSync(join(root, 'store'));
  const { violations } = await checkBoundaries(root);
  expect(violations.join('\n')).toContain('store/: no TypeScript module was read');
});
