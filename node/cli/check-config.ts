import { loadConfig } from '../config.ts';
import { parseArguments } from './arguments.ts';
import { exitCodes } from './context.ts';
import type { Command } from './context.ts';

export const checkConfig: Command = {
  name: 'check-config',
  summary: 'say what is wrong with a freehold.yaml, or that nothing is',
  help: `Usage: freehold check-config FILE

Reads FILE as \`freehold node --config FILE\` would, secrets included, and starts nothing. Every problem is
printed with its file, line, column and key. Exit code 0 when there is none, else 2.`,

  async run(args, context) {
    const { positionals } = parseArguments('check-config', args, {}, { names: ['FILE'] });
    const file = positionals[0] ?? '';
    const config = loadConfig(file);
    const voters = config.members.filter((member) => member.voter).length;
    context.print(
      `${file}: good. ${config.node} in zone ${config.zone}, ${String(config.members.length)} members, ` +
        `${String(voters)} of them voters.`,
    );
    return exitCodes.ok;
  },
};
