/** The command line of the guest build: `npm run build:guests`. */
import { parseArgs } from 'node:util';
import { FunctionSetupError } from '../node/functions/setup-error.ts';
import { buildGuests, GuestBuildError, type BuiltFunction } from './compile.ts';

const USAGE = `Usage: npm run build:guests [-- OPTIONS]

Compiles every function beside this script that has a function.yaml to <name>/<name>.wasm.

  --if-needed        build only what changed since it was last built; says nothing about the rest
  --directory=PATH   build the functions of another folder
  --help             show this
`;

const { values: flags } = parseArgs({
  options: {
    'if-needed': { type: 'boolean', default: false },
    directory: { type: 'string', default: import.meta.dirname },
    help: { type: 'boolean', default: false },
  },
});

if (flags.help) {
  console.log(USAGE);
} else {
  try {
    await buildGuests({ directory: flags.directory, ifNeeded: flags['if-needed'], report });
  } catch (error) {
    if (!(error instanceof GuestBuildError || error instanceof FunctionSetupError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

function report(built: BuiltFunction): void {
  if (built.upToDate) return;
  const size = `${(built.bytes / 1_024).toFixed(1)} kB`;
  console.log(`${built.name.padEnd(16)} ${size.padStart(8)} ${built.seconds.toFixed(1)} s`);
}
