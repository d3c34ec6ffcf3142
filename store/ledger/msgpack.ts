import { decode, encode } from '@msgpack/msgpack';

/**
 * The ledger's bytes. Commands and answers are small and many, and the log keeps commands for a while: a buffer of
 * their own size, instead of the 2 KiB that the encoder begins with and the result would pin.
 */
export function pack(value: unknown): Uint8Array {
  return encode(value, { initialBufferSize: 192 });
}

/** For what is some `bytes` large: without growing step by step, and copying at each step. */
export function packLarge(value: unknown, bytes: number): Uint8Array {
  return encode(value, { initialBufferSize: bytes });
}

/** Throws on bytes that are not msgpack. */
export function unpack(bytes: Uint8Array): unknown {
  return decode(bytes);
}
