import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteReader, ByteWriter, WireError } from '../../store/journal/bytes.ts';
import { isClaim, openClaim, openEntry, sealClaim, sealEntry } from '../../store/journal/records.ts';
import { RecordError } from '../../store/disk/record.ts';
import {
  decodeAcknowledgement,
  decodeClaim,
  decodeHeld,
  decodeHolder,
  decodePage,
  decodePull,
  decodePush,
  decodeVector,
  encodeAcknowledgement,
  encodeHeld,
  encodeHolder,
  encodePage,
  encodePull,
  encodePush,
  encodeVector,
} from '../../store/journal/wire.ts';

const sequence = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const node = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
const position = fc.record({ origin: node, sequence });
const claim = fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }).filter(isClaim);
const vote = fc.oneof(
  fc.constant({ kind: 'granted' as const }),
  fc.constant({ kind: 'abstained' as const }),
  fc.record({ kind: fc.constant('refused' as const), holder: position }),
);

test('every frame reads back as what was written', () => {
  const records = fc.array(fc.record({ sequence, record: fc.uint8Array({ maxLength: 300 }) }));
  fc.assert(
    fc.property(sequence, records, (round, written) => {
      const read = decodePush(encodePush({ round, records: written }));
      expect(read.round).toBe(round);
      expect(read.records.map((one) => ({ ...one, record: Uint8Array.from(one.record) }))).toEqual(written);
      expect(read.base).toBeUndefined();
    }),
  );
  fc.assert(
    fc.property(sequence, records, fc.record({ sequence, horizon: sequence }), (round, written, base) => {
      const push = decodePush(encodePush({ round, records: written, base }));
      const page = decodePage(encodePage({ records: written, base }));
      expect([push.round, push.base, page.base]).toEqual([round, base, base]);
      for (const read of [push.records, page.records])
        expect(read.map((one) => ({ ...one, record: Uint8Array.from(one.record) }))).toEqual(written);
    }),
  );
  const votes = fc.array(fc.record({ sequence, vote }));
  fc.assert(
    fc.property(
      fc.record({ round: sequence, epoch: sequence, upTo: sequence, gap: fc.boolean(), votes }),
      (written) => {
        expect(decodeAcknowledgement(encodeAcknowledgement(written))).toEqual(written);
      },
    ),
  );
  fc.assert(
    fc.property(fc.dictionary(node, sequence), fc.boolean(), (written, isWhole) => {
      expect(decodeVector(encodeVector(written))).toEqual(new Map(Object.entries(written)));
      const held = { epoch: 3, vector: new Map(Object.entries(written)), isWhole };
      expect(decodeHeld(encodeHeld(3, written, { isWhole }))).toEqual(held);
    }),
  );
  fc.assert(
    fc.property(node, sequence, sequence, (origin, from, entriesMax) => {
      const written = { origin, from, entriesMax };
      expect(decodePull(encodePull(written))).toEqual(written);
    }),
  );
  fc.assert(
    fc.property(position, (holder) => {
      const written = { kind: 'held' as const, holder };
      expect(decodeHolder(encodeHolder(written))).toEqual(written);
    }),
  );
});

test('entries and claims read back, and notice any flipped bit or another place', () => {
  const content = fc.record({ payload: fc.uint8Array({ maxLength: 300 }), claim: fc.option(claim) });
  fc.assert(
    fc.property(position, content, fc.nat(), (where, { payload, claim: claimed }, bit) => {
      const entry = { ...where, payload, ...(claimed === null ? {} : { claim: claimed }) };
      const record = sealEntry(entry);
      const { entry: read } = openEntry(where, record);
      expect({ ...read, payload: Uint8Array.from(read.payload) }).toEqual(entry);
      const damaged = Uint8Array.from(record);
      const byte = Math.floor(bit / 8) % damaged.length;
      damaged[byte] = (damaged[byte] ?? 0) ^ (1 << (bit % 8));
      expect(() => openEntry(where, damaged)).toThrow(RecordError);
      const elsewhere = { origin: where.origin, sequence: where.sequence === 1 ? 2 : 1 };
      expect(() => openEntry(elsewhere, record)).toThrow(RecordError);
    }),
  );
  fc.assert(
    fc.property(claim, position, fc.constantFrom('granted', 'inherited'), (claimed, holder, standing) => {
      expect(openClaim(claimed, sealClaim(claimed, { holder, standing }))).toEqual({ holder, standing });
    }),
  );
});

test('arbitrary bytes are refused with a code, never with a crash or a large allocation', () => {
  const decoders = [
    decodePush,
    decodePage,
    decodeAcknowledgement,
    decodeVector,
    decodePull,
    decodeClaim,
    decodeHolder,
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (noise, versioned) => {
      const frame = versioned ? Uint8Array.of(1, ...noise) : noise;
      for (const decode of decoders) {
        try {
          decode(frame);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test('numbers of every size keep their value', () => {
  for (const value of [0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32, 2 ** 53 - 1]) {
    const reader = new ByteReader(new ByteWriter(1).number(value).finish());
    expect(reader.number()).toBe(value);
    reader.end();
  }
});
