import { ConfigError } from '../config.ts';
import { CommandError, exitCodes, UsageError } from './context.ts';

/** How a command that failed is told to whoever typed it, and to whatever started it: the one place that decides exit codes. */

/**
 * The data directory cannot be trusted, or not be used. No restart puts that right: what to do is in store/DESIGN.md,
 * "Recovery".
 */
const NEEDS_SOMEBODY: ReadonlySet<string> = new Set([
  'DISK_CORRUPT',
  'DISK_FORMAT_UNKNOWN',
  'DISK_FULL',
  'DISK_IO',
  'DISK_LOCKED',
  'LOG_DAMAGED',
  'CORRUPT_RECORD',
  'UNKNOWN_FORMAT',
  'IDENTITY_UNREADABLE',
]);

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError || error instanceof ConfigError) return exitCodes.usage;
  const { code } = reasonOf(error);
  return code !== undefined && NEEDS_SOMEBODY.has(code) ? exitCodes.unsafe : exitCodes.failed;
}

/** One line for expected failures, which carry a code and say what to do: a stack would only hide it. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isExpected =
    error instanceof UsageError || error instanceof CommandError || reasonOf(error).code !== undefined;
  if (!isExpected) return error.stack ?? error.message;
  return unreadableIdentity(error) ?? error.message;
}

/** Of a part that did not start, what kept it from starting. */
function reasonOf(error: unknown): { readonly code?: string; readonly cause?: unknown } {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return {};
  return error.code === 'START_FAILED' ? reasonOf(error.cause) : { code: error.code, cause: error.cause };
}

/** A key that is not to be had here is not damaged: nobody should restore it, or worse, remove it. */
function unreadableIdentity(error: Error): string | undefined {
  const { code, cause } = reasonOf(error);
  if (code !== 'IDENTITY_UNREADABLE' || !(cause instanceof Error)) return undefined;
  const { code: errno, path } = cause as NodeJS.ErrnoException;
  if (errno === undefined || path === undefined) return undefined;
  return `IDENTITY_UNREADABLE: cannot use ${path} (${errno}); ${adviceFor(errno)}. The key itself may be as it was: keep it`;
}

function adviceFor(errno: string): string {
  switch (errno) {
    case 'ENOTDIR':
      return 'the data directory has to be a directory, and a part of this path is a file';
    case 'EISDIR':
      return 'there is a directory where the key should be a file';
    case 'EACCES':
    case 'EPERM':
      return 'whoever runs this may not: run it as the owner of the data directory, or give it to the one who runs it';
    default:
      return 'the operating system does not give it out: look at what it says, and at the device';
  }
}
