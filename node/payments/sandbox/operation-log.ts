import { mkdir, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import type { Strike } from './faults.ts';

/**
 * The sandbox's memory across restarts: one line of JSON per executed request, appended before it is answered.
 * Lines gather while a write is on its way. Survives the process, not the machine: nobody's money is in here.
 */
export interface LoggedRequest {
  readonly at: number;
  readonly path: string;
  /** As it was sent, form-encoded. */
  readonly body: string;
  readonly key?: string;
  readonly requestId: string;
  /** Answered, and remembered, as an outage: after doing what was asked, or instead. */
  readonly outage?: 'done' | 'undone';
  /** What struck while it was carried out, and would again. */
  readonly struck?: readonly Strike[];
}

export interface OperationLog {
  /** Resolves once the request is written. */
  append(request: LoggedRequest): Promise<void>;
  /** Resolves once all that was appended before is written. */
  written(): Promise<void>;
  close(): Promise<void>;
}

const version = 2;

/** Opens or creates the log under `directory` and gives what it holds. The seed of the first opening stands. */
export async function openOperationLog(
  directory: string,
  seed: string,
): Promise<{
  readonly log: OperationLog;
  readonly seed: string;
  readonly requests: readonly LoggedRequest[];
}> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, 'requests.jsonl');
  const file = await open(path, 'a+');
  const content = await file.readFile('utf8');
  // A last line without its newline was torn by a kill: that request was never answered.
  const whole = content.slice(0, content.lastIndexOf('\n') + 1);
  if (whole.length < content.length) await file.truncate(Buffer.byteLength(whole));
  const [header, ...lines] = whole.split('\n').filter((line) => line !== '');
  if (header === undefined) {
    await file.appendFile(`${JSON.stringify({ version, seed })}\n`);
    return { log: new FileLog(file), seed, requests: [] };
  }
  const { version: written, seed: kept } = JSON.parse(header) as { version: number; seed: string };
  // What version 1 could say means the same in version 2.
  if (written !== 1 && written !== version)
    throw new Error(`${path} was written by another version of the sandbox`);
  const requests = lines.map((line) => JSON.parse(line) as LoggedRequest);
  return { log: new FileLog(file), seed: kept, requests };
}

export const forgetful: OperationLog = {
  append: () => Promise.resolve(),
  written: () => Promise.resolve(),
  close: () => Promise.resolve(),
};

class FileLog implements OperationLog {
  readonly #file: FileHandle;
  #gathered = '';
  /** Settles when everything gathered so far is written. */
  #round: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  append(request: LoggedRequest): Promise<void> {
    this.#gathered += `${JSON.stringify(request)}\n`;
    this.#round ??= this.#writing = this.#writing.then(() => {
      const lines = this.#gathered;
      this.#gathered = '';
      this.#round = undefined;
      return this.#file.appendFile(lines);
    });
    return this.#round;
  }

  written(): Promise<void> {
    return this.#round ?? this.#writing;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }
}
