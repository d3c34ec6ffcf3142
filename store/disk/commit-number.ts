/**
 * Synced batches are numbered: each carries its number under one key, in the same atomic write. The number that the
 * database holds says how far it got; compared with the witness, whether it has gone back since.
 */
import type { Operation } from './port.ts';
import { openRecord, sealRecord } from './record.ts';

export const commitNumberKey = 'disk/commit';

export function putCommitNumber(number: number): Operation {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64BE(BigInt(number));
  return { kind: 'put', key: commitNumberKey, value: sealRecord(commitNumberKey, payload) };
}

/** Throws RecordError. */
export function openCommitNumber(record: Uint8Array): number {
  const payload = openRecord(commitNumberKey, record);
  return Number(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).readBigUInt64BE());
}
