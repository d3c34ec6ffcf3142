import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Without it the node would come back as a stranger; see "Recovery" in store/DESIGN.md. */
const kept = 'identity.key';

/** Empties the data directory of a node that is down, as if it had got a new disk. */
export function wipeDataDirectory(dataDirectory: string): void {
  for (const name of readdirSync(dataDirectory))
    if (name !== kept) rmSync(join(dataDirectory, name), { recursive: true, force: true });
}
