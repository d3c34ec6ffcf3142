#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import pino from 'pino';
import { runCommand } from './cli/commands.ts';
import { exitCodes, type CommandContext } from './cli/context.ts';

/**
 * The process: argv, environment, signals, log and exit code. Nothing else in the program touches them.
 *
 * SIGINT, SIGTERM, SIGHUP and the death of a supervising process ask the command to stop. A second signal tells
 * it to hurry, and ends the process soon after whatever it does.
 */

// A terminal sends Ctrl-C to the whole process group and npm passes it on once more: that is one request.
const sameRequestMs = 500;
const hurryMs = 2_000;

const stop = new AbortController();
const hurry = new AbortController();
let stopRequestedAt = 0;

function requestStop(reason: string): void {
  if (!stop.signal.aborted) {
    stopRequestedAt = performance.now();
    stop.abort(reason);
  } else if (performance.now() - stopRequestedAt >= sameRequestMs && !hurry.signal.aborted) {
    hurry.abort(reason);
    setTimeout(() => process.exit(130), hurryMs).unref();
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    requestStop(signal);
  });
if (process.send !== undefined)
  process.on('disconnect', () => {
    requestStop('the supervising process is gone');
  });

// Whoever read the output has gone away; the work goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const root = resolve(import.meta.dirname, '..');

const context: CommandContext = {
  environment: process.env,
  userName() {
    const { USER } = process.env;
    if (USER !== undefined && USER !== '') return USER;
    try {
      return userInfo().username;
    } catch {
      // A user id that no list of users knows, as containers have them.
      return undefined;
    }
  },
  root,
  version: (JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as { version: string }).version,
  stop: stop.signal,
  hurry: hurry.signal,
  print(line) {
    process.stdout.write(`${line}\n`);
  },
  printError(line) {
    process.stderr.write(`${line}\n`);
  },
  log({ level, name }) {
    const log = pino({ level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime });
    for (const event of ['uncaughtException', 'unhandledRejection'] as const)
      process.on(event, (error: unknown) => {
        log.fatal({ err: error }, `${event}: a bug; stopping rather than going on in an unknown state`);
        process.exit(exitCodes.failed);
      });
    return log;
  },
  tellSupervisor(message) {
    process.send?.(message);
  },
  exitNow(code) {
    process.exit(code);
  },
};

process.exit(await runCommand(process.argv.slice(2), context));
