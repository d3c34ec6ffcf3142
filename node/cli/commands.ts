import { ConfigError } from '../config.ts';
import { suggest } from '../config/suggest.ts';
import { checkConfig } from './check-config.ts';
import { exitCodes, UsageError } from './context.ts';
import type { Command, CommandContext } from './context.ts';
import { dev } from './dev.ts';
import { exitCodeOf, textOf } from './failures.ts';
import { identity } from './identity.ts';
import { members } from './members.ts';
import { node } from './node.ts';
import { reconcile } from './reconcile.ts';
import { sandbox } from './sandbox.ts';
import { sor } from './sor.ts';
import { stock } from './stock.ts';

/** Everything that can be typed after `freehold`. */
const commands: readonly Command[] = [
  dev,
  node,
  checkConfig,
  identity,
  members,
  reconcile,
  sor,
  stock,
  sandbox,
];

/**
 * Runs what `args` ask for and gives the exit code: 0 done, 1 failed, 2 asked for in a way that cannot be meant, 70 not
 * done rather than break a promise.
 */
export async function runCommand(args: readonly string[], context: CommandContext): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    context.printError(overview());
    return exitCodes.usage;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    const about = commands.find((command) => command.name === rest[0]);
    context.print(about?.help ?? overview());
    return exitCodes.ok;
  }
  if (name === '--version' || name === '-v') {
    context.print(`freehold ${context.version}`);
    return exitCodes.ok;
  }

  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    const meant = suggest(
      name,
      commands.map((candidate) => candidate.name),
    );
    const hint = meant === undefined ? '' : ` Did you mean ${meant}?`;
    context.printError(`freehold: ${name} is not a command.${hint} \`freehold --help\` lists them.`);
    return exitCodes.usage;
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    context.print(command.help);
    return exitCodes.ok;
  }

  try {
    return await command.run(rest, context);
  } catch (error) {
    const text = textOf(error);
    if (error instanceof UsageError) context.printError(`${text}\nTry: freehold ${command.name} --help`);
    else if (error instanceof ConfigError) context.printError(text);
    else context.printError(`freehold ${command.name}: ${text}`);
    return exitCodeOf(error);
  }
}

function overview(): string {
  const width = Math.max(...commands.map((command) => command.name.length)) + 3;
  return [
    'Freehold runs order processing on machines that you own.',
    '',
    'Usage: freehold COMMAND [options]',
    '',
    ...commands.map((command) => `  ${command.name.padEnd(width)}${command.summary}`),
    '',
    '`freehold COMMAND --help` explains one of them; `freehold --version` prints the version.',
  ].join('\n');
}
