import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../node/config.ts';
import { CommandError, UsageError } from '../../node/cli/context.ts';
import { exitCodeOf, textOf } from '../../node/cli/failures.ts';
import { LifecycleError } from '../../node/lifecycle.ts';
import { RecordError } from '../../store/disk/record.ts';
import { DiskError, IdentityError, type DiskErrorCode } from '../../store/index.ts';
import { LogDamagedError } from '../../store/ledger/raft-records.ts';

/** As a part of a node fails to start. */
function notStarted(cause: Error): LifecycleError {
  return new LifecycleError('START_FAILED', 'store', { detail: cause.message, cause });
}

/** Complete by type: a new code does not compile until its exit code is stated here. */
const DISK: Readonly<Record<DiskErrorCode, number>> = {
  DISK_LOCKED: 70,
  DISK_CORRUPT: 70,
  DISK_FORMAT_UNKNOWN: 70,
  DISK_FULL: 70,
  DISK_IO: 70,
  // Used after it was closed: a bug, not the state of the disk.
  DISK_CLOSED: 1,
};

describe('the exit code', () => {
  it.each(Object.entries(DISK))('of a start that fails with %s is %i', (code, exitCode) => {
    const error = new DiskError(code as DiskErrorCode, '/data', 'why');
    expect([exitCodeOf(error), exitCodeOf(notStarted(error))]).toEqual([exitCode, exitCode]);
  });

  it.each([
    ['a damaged log of the ledger', notStarted(new LogDamagedError('why')), 70],
    ['a damaged record', notStarted(new RecordError('CORRUPT_RECORD', 'key', 'why')), 70],
    ['a record of a newer program', notStarted(new RecordError('UNKNOWN_FORMAT', 'key', 'why')), 70],
    ['an identity that cannot be used', new IdentityError('/data/identity.key', new Error('why')), 70],
    ['a wrong configuration', new ConfigError('freehold.yaml', ['why']), 2],
    ['a command that cannot be meant', new UsageError('why'), 2],
    ['a command that is refused', new CommandError('why'), 1],
    ['a port that is taken', notStarted(Object.assign(new Error('why'), { code: 'EADDRINUSE' })), 1],
    ['a start that takes too long', new LifecycleError('START_TIMEOUT', 'store', { detail: 'why' }), 1],
    ['a bug', notStarted(new TypeError('why')), 1],
  ])('of %s', (_what, error, code) => {
    expect(exitCodeOf(error)).toBe(code);
  });
});

describe('what is said of a failure', () => {
  it('is one line when it is expected, and a stack when it is a bug', () => {
    expect(textOf(notStarted(new DiskError('DISK_CORRUPT', '/data', 'why')))).toBe(
      'store: DISK_CORRUPT: why',
    );
    expect(textOf(new CommandError('why'))).toBe('why');
    expect(textOf(notStarted(new TypeError('why')))).toMatch(/\n {4}at /);
  });

  it.each([
    ['ENOTDIR', /the data directory has to be a directory/],
    ['EISDIR', /there is a directory where the key should be/],
    ['EACCES', /run it as the owner/],
    ['EPERM', /run it as the owner/],
    ['EIO', /at the device/],
  ])('of an identity that the system does not give out (%s) fits that', (code, advice) => {
    const path = '/data/identity.key';
    const text = textOf(new IdentityError(path, Object.assign(new Error(code), { code, path })));
    expect(text).toMatch(`IDENTITY_UNREADABLE: cannot use ${path} (${code}); `);
    expect(text).toMatch(advice);
    expect(text).not.toMatch(/backup|remove/);
  });

  it('of an identity that is damaged is to restore it', () => {
    const text = textOf(new IdentityError('/data/identity.key', new Error('not a key')));
    expect(text).toMatch(/restore it from a backup/);
  });
});
