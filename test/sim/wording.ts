import { decodeCommand } from '../../store/ledger/commands.ts';
import { decodeBatch } from '../../store/ledger/replica-messages.ts';
import type { RecordedEvent } from '../../node/orders/events.ts';
import type { DecidedEntry } from './checkers/raft-checker.ts';

/** How a trace tells of facts and decisions: enough to follow one order through it. */

/** `n3:4 paid of n1:7 at 1763464001101 ord_…`: its place, what it builds on, what it says of the time, its order. */
export function lineOfFact({ id, type, registration, at, orderId }: RecordedEvent): string {
  const builtOn = registration === undefined ? '' : ` of ${registration}`;
  return `${id} ${type}${builtOn} at ${at} ${orderId}`;
}

/** `43@2 claim ord_…`, with what was proposed. */
export function lineOfEntry({ index, term, kind, data }: DecidedEntry): string {
  const place = `${index}@${term}`;
  const batch = kind === 'command' ? decodeBatch(data) : undefined;
  if (batch === undefined) return `${place} ${kind}`;
  return `${place} at ${batch.at} ${batch.commands.map(lineOfCommand).join(', ')}`;
}

function lineOfCommand(data: Uint8Array): string {
  const command = decodeCommand(data);
  switch (command.kind) {
    case 'claim':
      return `claim ${command.orderId} ${command.registration} of ${command.createdAt ?? 'now'}`;
    case 'release':
      return `release ${command.orderId} ${command.reason}`;
    case 'hold':
    case 'commit':
      return `${command.kind} ${command.orderId}`;
    case 'forget':
      return `forget before ${command.before}`;
    case 'stockSync':
      return `stockSync of ${command.takenAt}`;
    case 'adjust':
      return `adjust ${command.sku}`;
    case 'expire':
    case 'malformed':
      return command.kind;
  }
}
