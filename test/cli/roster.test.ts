import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { noteFounded } from '../../node/cli/dev/founding.ts';
import { Roster } from '../../node/cli/dev/roster.ts';

let dataDirectory: string;
beforeEach(() => {
  dataDirectory = mkdtempSync(join(tmpdir(), 'freehold-roster-'));
});
afterEach(() => {
  rmSync(dataDirectory, { recursive: true });
});

const open = (port = 8081) => Roster.open({ dataDirectory, port });
const members = (...ids: readonly string[]) =>
  ids.map((id) => ({ id: id.replace('?', ''), voter: !id.endsWith('?') }));

it('begins with the founders, and writes nothing before there is something to remember', () => {
  expect(open()).toMatchObject({ present: ['n1', 'n2', 'n3'], removed: [], freeName: 'n4' });
  expect(readdirSync(dataDirectory)).toEqual([]);
});

it('remembers who was added before anybody has let it in (T1, T2)', () => {
  open().join('n4');
  const roster = open();
  expect(roster).toMatchObject({ present: ['n1', 'n2', 'n3', 'n4'], freeName: 'n5' });
  roster.follow(members('n1', 'n2', 'n3'));
  expect(open().standing('n4')).toBe('joining');
  roster.follow(members('n1', 'n2', 'n3', 'n4?'));
  expect(open().standing('n4')).toBe('observer');
});

it('remembers who was removed, and takes back who is a member again (T2, T3)', () => {
  const roster = open();
  roster.join('n4');
  roster.follow(members('n1', 'n2', 'n3', 'n4'));
  roster.follow(members('n1', 'n3', 'n4'));
  expect(open()).toMatchObject({ present: ['n1', 'n3', 'n4'], removed: ['n2'] });
  roster.follow(members('n1', 'n3'));
  // A name that was used is not free, or a new node would find the data of another one.
  expect(open()).toMatchObject({ removed: ['n2', 'n4'], freeName: 'n5' });
  roster.follow(members('n1', 'n2?', 'n3'));
  expect(open().standing('n2')).toBe('observer');
});

it('does not take in members that are run elsewhere', () => {
  open().follow(members('n1', 'n2', 'n3', 'till-9'));
  expect(open().standing('till-9')).toBeUndefined();
});

it('without its file goes by the directories that nodes have left', () => {
  for (const name of ['n4', 'n6', 'n12', 'other'])
    mkdirSync(join(dataDirectory, name, 'data'), { recursive: true });
  for (const name of ['n4', 'n12', 'other'])
    writeFileSync(join(dataDirectory, name, 'data', 'identity.key'), '');
  expect(open().present).toEqual(['n1', 'n2', 'n3', 'n4']);
});

it('holds a cluster that stands to the ports that its nodes know each other by', () => {
  open(8081).follow(members('n1', 'n2', 'n3'));
  // It never stood: whatever did not work may have been the ports.
  expect(open(18081).present).toEqual(['n1', 'n2', 'n3']);
  noteFounded({ dataDirectory });
  expect(() => open(18081)).toThrow(/by the ports of FREEHOLD_PORT=8081: start them with that/);
  expect(open(8081).present).toEqual(['n1', 'n2', 'n3']);
});

it('refuses a file that makes no sense, and leaves it', () => {
  const file = join(dataDirectory, 'nodes.json');
  for (const text of [
    '',
    '{',
    'null',
    '{"port":8081}',
    '{"port":8081,"nodes":{"n1":"gone"}}',
    '{"port":8081,"nodes":{"../x":"voter"}}',
  ]) {
    writeFileSync(file, text);
    expect(() => open()).toThrow(/does not say which nodes there are/);
    expect(existsSync(file)).toBe(true);
  }
});
