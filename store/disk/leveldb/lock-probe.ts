/**
 * Whether another process has a LevelDB directory open. LevelDB takes its lock before it looks at anything else, so an open
 * that must fail, because there may be no database, fails by the lock first. It changes nothing but LevelDB's notes (LOG).
 *
 * Never to be asked about a directory that this very process has open: closing the lock's file gives the lock away.
 */
import { Level } from 'level';
import { stat } from 'node:fs/promises';

export async function isLevelDbInUse(path: string): Promise<boolean> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (!exists) return false;
  const probe = new Level(path, { createIfMissing: false, errorIfExists: true });
  try {
    await probe.open();
    await probe.close();
    return false;
  } catch (error) {
    const { cause } = error as { readonly cause?: { readonly code?: string } };
    return cause?.code === 'LEVEL_LOCKED';
  }
}
