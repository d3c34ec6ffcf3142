import { resolve } from 'node:path';
import { parseArguments, required } from './arguments.ts';
import { exitCodes } from './context.ts';
import type { Command } from './context.ts';

export const identity: Command = {
  name: 'identity',
  summary: "print a node's peer id, making its key if it has none",
  help: `Usage: freehold identity --data DIR

Prints the peer id that stands for the Ed25519 key in DIR, for the \`members\` of freehold.yaml. The key is made
when there is none; it stays in DIR and must not be copied to another node.

  --data DIR   the node's data directory, as in freehold.yaml`,

  async run(args, context) {
    const { values } = parseArguments('identity', args, { data: { type: 'string' } });
    const directory = resolve(required('identity', 'data', values.data));
    const { loadOrCreateIdentity, peerIdOf } = await import('../../store/index.ts');
    context.print(peerIdOf(await loadOrCreateIdentity(directory)));
    return exitCodes.ok;
  },
};
