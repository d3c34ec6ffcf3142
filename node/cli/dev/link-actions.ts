import { parseDuration } from '../../config/units.ts';
import { CommandError } from '../context.ts';
import type { ControlRequest } from './control.ts';
import type { LinkFaults } from './link-faults.ts';

const delayMsMax = 10_000;

/** Whether `action` is one of those below. */
export function isLinkAction(action: string): boolean {
  return ['partition', 'slow', 'heal'].includes(action);
}

/** Does what a request asks of the links between `nodes`; answers with a line to print. Throws CommandError. */
export function actOnLinks(
  faults: LinkFaults,
  nodes: readonly string[],
  { action, target, other, oneWay, delay }: ControlRequest,
): string {
  if (action === 'heal') {
    if (target !== undefined) checkNode(target, nodes);
    faults.heal(target);
    return target === undefined ? 'all links are whole' : `the links of node ${target} are whole`;
  }

  const node = checkNode(target, nodes);
  if (action === 'slow') {
    const delayMs = parseDuration(delay ?? '');
    if (delayMs === undefined || delayMs > delayMsMax)
      throw new CommandError(`a delay is a duration from 0ms to 10s, such as 50ms, not ${delay ?? ''}`);
    faults.slow(node, delayMs);
    return delayMs === 0
      ? `the links of node ${node} are as fast as ever`
      : `what node ${node} says and hears takes ${String(delayMs)} ms longer`;
  }

  if (oneWay !== undefined && oneWay !== 'in' && oneWay !== 'out')
    throw new CommandError(`--one-way is in (it hears nothing) or out (nobody hears it), not ${oneWay}`);
  if (other !== undefined) checkNode(other, nodes);
  if (other === node) throw new CommandError(`node ${node} has no link to itself`);
  faults.partition(node, {
    ...(other === undefined ? {} : { other }),
    ...(oneWay === undefined ? {} : { oneWay }),
  });
  const whom = other === undefined ? 'the others' : `node ${other}`;
  if (oneWay === 'in') return `node ${node} hears nothing from ${whom}`;
  if (oneWay === 'out') return `node ${node} is not heard by ${whom}`;
  return `node ${node} is cut off from ${whom}`;
}

function checkNode(name: string | undefined, nodes: readonly string[]): string {
  if (name !== undefined && nodes.includes(name)) return name;
  throw new CommandError(`${name ?? 'nothing'} is not a node of this cluster: ${nodes.join(', ')}`);
}
