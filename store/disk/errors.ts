/**
 * What can go wrong with the data directory, in the words of the operator who has to act on it. LevelDB hides
 * the reason in the cause of its error; this file digs it out once, so that nobody else matches on text.
 */

export type DiskErrorCode =
  /** Another process, or another part of this one, has the data directory open. */
  | 'DISK_LOCKED'
  /** Files are damaged or missing. */
  | 'DISK_CORRUPT'
  /** The directory was written by a version of the program that this one does not know. */
  | 'DISK_FORMAT_UNKNOWN'
  /** No room, or no quota, for what has to be written. */
  | 'DISK_FULL'
  /** The operating system refused to read or write: read-only, no permission, broken. */
  | 'DISK_IO'
  | 'DISK_CLOSED';

export class DiskError extends Error {
  readonly code: DiskErrorCode;
  readonly directory: string;
  constructor(
    code: DiskErrorCode,
    directory: string,
    detail: string,
    options?: { readonly cause?: unknown },
  ) {
    super(`${code}: ${detail}`, options);
    this.name = 'DiskError';
    this.code = code;
    this.directory = directory;
  }
}

/** Something in the directory is not as it was written, or gone; `what` names it. */
export function damaged(directory: string, what: string, options?: { readonly cause?: unknown }): DiskError {
  return new DiskError(
    'DISK_CORRUPT',
    directory,
    `${directory} has lost or changed what was written (${what}); check the hardware. If a majority of the other ` +
      'voters is well, move "leveldb" and "format" in it aside (not "identity.key"), have the configuration list who ' +
      'are members now, this node as no voter if they have changed, and start again: they fill this node anew. One ' +
      'node at a time.',
    options,
  );
}

/** Turns whatever LevelDB or the file system threw into a DiskError that says what to do. */
export function toDiskError(error: unknown, directory: string): DiskError {
  if (error instanceof DiskError) return error;
  const { code, text } = deepestCause(error);
  const options = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT' || /No space left|quota exceeded/i.test(text)) {
    return new DiskError(
      'DISK_FULL',
      directory,
      `${directory} has no room for what has to be written (${text}); make room and start again, nothing is lost`,
      options,
    );
  }
  switch (code) {
    case 'LEVEL_LOCKED':
      return new DiskError(
        'DISK_LOCKED',
        directory,
        `${directory} is open in another process; stop it, or give this node a data directory of its own`,
        options,
      );
    case 'LEVEL_CORRUPTION':
      return damaged(directory, text, options);
    case 'LEVEL_DATABASE_NOT_OPEN':
    case 'LEVEL_ITERATOR_NOT_OPEN':
      return new DiskError('DISK_CLOSED', directory, `${directory} is not open`, options);
    default:
      return new DiskError(
        'DISK_IO',
        directory,
        `cannot read or write ${directory} (${text}); check that it exists, who owns it and what the device says`,
        options,
      );
  }
}

/** The innermost error is the one that knows the reason. */
function deepestCause(error: unknown): { readonly code: string; readonly text: string } {
  let code = '';
  let text = String(error);
  for (
    let current = error, depth = 0;
    current instanceof Error && depth < 5;
    current = current.cause, depth++
  ) {
    if ('code' in current && typeof current.code === 'string') code = current.code;
    text = current.message;
  }
  return { code, text };
}
