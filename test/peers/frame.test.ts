import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeFrame, FrameDecoder, FrameViolation, type Frame } from '../../store/peers/frame.ts';

const frame: fc.Arbitrary<Frame> = fc.record({
  kind: fc.constantFrom('message', 'request', 'response', 'failure', 'heartbeat'),
  channel: fc.string({ maxLength: 40 }),
  correlation: fc.nat({ max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 200 }),
});

const plain = ({ kind, channel, correlation, payload }: Frame) => ({
  kind,
  channel,
  correlation,
  payload: Buffer.from(payload).toString('hex'),
});

describe('frames', () => {
  test('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map(encodeFrame));
          const decoder = new FrameDecoder({ frameBytesMax: 1_000 });
          const decoded: Frame[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const size = cuts[turn % cuts.length] ?? 1;
            decoder.push(stream.subarray(at, at + size), (one) => decoded.push(one));
            at += size;
          }
          expect(decoded.map(plain)).toEqual(frames.map(plain));
        },
      ),
    );
  });

  test('that announce more than the limit are refused before they are gathered', () => {
    const decoder = new FrameDecoder({ frameBytesMax: 100 });
    const violation = () => {
      decoder.push(Uint8Array.of(0, 0, 0, 97), () => undefined);
    };
    expect(violation).toThrow(FrameViolation);
  });

  test('that are nonsense are a violation and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (noise) => {
        const decoder = new FrameDecoder({ frameBytesMax: 50 });
        try {
          decoder.push(noise, () => undefined);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameViolation);
        }
      }),
    );
  });
});
