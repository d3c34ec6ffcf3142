/**
 * Frames on a stream: `[length: 4][kind: 1][correlation: 4][channel length: 1][channel][payload]`, big-endian;
 * `length` counts what follows it. Owns the encoding and its bounds, and no state but a partly read frame.
 */
import { invariant } from '../environment.ts';

export type FrameKind =
  | 'message'
  | 'request'
  | 'response'
  /** The payload is a failure: see requests.ts. */
  | 'failure'
  /** Says only that the sender is alive. */
  | 'heartbeat';

export interface Frame {
  readonly kind: FrameKind;
  /** At most 255 ASCII characters; empty where the correlation says enough. */
  readonly channel: string;
  /** Ties an answer to its request; 0 for the rest. An unsigned 32-bit integer. */
  readonly correlation: number;
  readonly payload: Uint8Array;
}

export type FrameViolationCode = 'FRAME_TOO_LARGE' | 'FRAME_MALFORMED';

/** The other side does not keep to the protocol; the link cannot be used any further. */
export class FrameViolation extends Error {
  readonly code: FrameViolationCode;
  constructor(code: FrameViolationCode, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'FrameViolation';
    this.code = code;
  }
}

const kindCodes: Readonly<Record<FrameKind, number>> = {
  message: 1,
  request: 2,
  response: 3,
  failure: 4,
  heartbeat: 5,
};
const kinds = new Map<number, FrameKind>(
  Object.entries(kindCodes).map(([kind, code]) => [code, kind as FrameKind]),
);

const lengthBytes = 4;
const fixedBytes = 1 + 4 + 1;
const channelBytesMax = 255;

/** What a frame adds to its payload, at most. */
export const frameOverheadBytesMax = lengthBytes + fixedBytes + channelBytesMax;

/** The bytes of a frame; the payload is copied, so that the caller may reuse its buffer. */
export function encodeFrame({ kind, channel, correlation, payload }: Frame): Buffer {
  invariant(channel.length <= channelBytesMax, `a channel name has at most ${channelBytesMax} bytes`);
  const length = fixedBytes + channel.length + payload.byteLength;
  const bytes = Buffer.allocUnsafe(lengthBytes + length);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(kindCodes[kind], 4);
  bytes.writeUInt32BE(correlation, 5);
  bytes.writeUInt8(channel.length, 9);
  bytes.write(channel, 10, 'latin1');
  bytes.set(payload, 10 + channel.length);
  return bytes;
}

/** Cuts one stream's bytes, in whatever pieces they arrive, into frames. */
export class FrameDecoder {
  readonly #frameBytesMax: number;
  #pieces: Buffer[] = [];
  #buffered = 0;
  /** Nothing can be cut before this much has arrived: large frames are joined once, not at each piece. */
  #needed = lengthBytes;

  /** Frames larger than `frameBytesMax`, as encoded, are a violation. */
  constructor(options: { readonly frameBytesMax: number }) {
    this.#frameBytesMax = options.frameBytesMax;
  }

  /**
   * Hands over each frame that `piece` completes. Payloads are views into what arrived. Throws FrameViolation;
   * the decoder is of no use after that.
   */
  push(piece: Uint8Array, onFrame: (frame: Frame) => void): void {
    this.#pieces.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    this.#buffered += piece.byteLength;
    if (this.#buffered < this.#needed) return;

    const only = this.#pieces.length === 1 ? this.#pieces[0] : undefined;
    const bytes = only ?? Buffer.concat(this.#pieces, this.#buffered);
    let offset = 0;
    this.#needed = lengthBytes;
    while (bytes.length - offset >= lengthBytes) {
      const length = bytes.readUInt32BE(offset);
      if (lengthBytes + length > this.#frameBytesMax) {
        throw new FrameViolation('FRAME_TOO_LARGE', `${length} bytes, the limit is ${this.#frameBytesMax}`);
      }
      if (bytes.length - offset < lengthBytes + length) {
        this.#needed = lengthBytes + length;
        break;
      }
      const end = offset + lengthBytes + length;
      const frame = parseFrame(bytes.subarray(offset + lengthBytes, end));
      offset = end;
      onFrame(frame);
    }
    this.#pieces = offset < bytes.length ? [bytes.subarray(offset)] : [];
    this.#buffered = bytes.length - offset;
  }
}

function parseFrame(body: Buffer): Frame {
  if (body.length < fixedBytes) throw new FrameViolation('FRAME_MALFORMED', `${body.length} bytes`);
  const kind = kinds.get(body.readUInt8(0));
  if (kind === undefined) throw new FrameViolation('FRAME_MALFORMED', `kind ${body.readUInt8(0)}`);
  const payloadAt = fixedBytes + body.readUInt8(5);
  if (body.length < payloadAt) throw new FrameViolation('FRAME_MALFORMED', 'the channel is cut off');
  return {
    kind,
    correlation: body.readUInt32BE(1),
    channel: body.toString('latin1', fixedBytes, payloadAt),
    payload: body.subarray(payloadAt),
  };
}
