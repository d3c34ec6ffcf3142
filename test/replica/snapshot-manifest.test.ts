import { expect, test } from 'vitest';
import {
  decodeManifest,
  encodeManifest,
  type SnapshotManifest,
} from '../../store/ledger/snapshot-manifest.ts';

const manifest: SnapshotManifest = {
  mark: { index: 7, term: 2, configuration: { voters: ['n1', 'n2'], observers: ['n3'] } },
  appliedAt: 1_795_000_000_000,
  chunks: 3,
  bytes: 150_000,
  digest: 'a'.repeat(64),
};

test('a manifest is read as it was written', () => {
  expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
});

test.each([
  ['more chunks than anybody would work for', { ...manifest, chunks: 2 ** 40 }],
  ['no chunk', { ...manifest, chunks: 0 }],
  ['a time that is none', { ...manifest, appliedAt: Number.NaN }],
])('a manifest with %s is refused', (_, wrong) => {
  expect(decodeManifest(encodeManifest(wrong))).toBeUndefined();
});

test('bytes that are something else are refused', () => {
  expect(decodeManifest(new Uint8Array([0xc1]))).toBeUndefined();
});
