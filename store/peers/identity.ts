/**
 * Who a node is: an Ed25519 key in the file `identity.key` of its data directory. The peer id is the public
 * key, so whoever can read the file can be the node: it is readable by its owner only.
 */
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';

const fileName = 'identity.key';
const ownerOnly = 0o600;

/** A private key: handle as a secret. */
export type Identity = Ed25519PrivateKey;

/** The identity file exists but cannot be used. A new one is never made in its place. */
export class IdentityError extends Error {
  readonly code = 'IDENTITY_UNREADABLE';
  constructor(path: string, cause: unknown) {
    super(
      `IDENTITY_UNREADABLE: cannot use ${path}; restore it from a backup, or remove it and list the node's ` +
        'new peer id at the other members',
      { cause },
    );
    this.name = 'IdentityError';
  }
}

/** A fresh identity that is kept nowhere. */
export function createIdentity(): Promise<Identity> {
  return generateKeyPair('Ed25519');
}

/** The identity of the node that lives in `dataDirectory`; made and kept when there is none yet. */
export async function loadOrCreateIdentity(dataDirectory: string): Promise<Identity> {
  const path = join(dataDirectory, fileName);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
      throw new IdentityError(path, error);
    }
    const identity = await createIdentity();
    await mkdir(dataDirectory, { recursive: true });
    await writeDurably(path, privateKeyToProtobuf(identity));
    return identity;
  }
  try {
    const identity = privateKeyFromProtobuf(bytes);
    if (identity.type !== 'Ed25519') throw new Error(`an ${identity.type} key, not an Ed25519 one`);
    await checkHalves(identity);
    await chmod(path, ownerOnly);
    return identity;
  } catch (error) {
    throw new IdentityError(path, error);
  }
}

/** A flipped bit in the secret half leaves the peer id as it is; but nobody would believe what it signs. */
async function checkHalves(identity: Identity): Promise<void> {
  const message = Buffer.from('freehold');
  const signature = await identity.sign(message);
  if (!(await identity.publicKey.verify(message, signature)))
    throw new Error('its halves do not belong together');
}

/** The name by which other members know the holder of `identity`. */
export function peerIdOf(identity: Identity): string {
  return peerIdFromPrivateKey(identity).toString();
}

/** Whole or not at all: a node that came up with half a key would be a stranger to its cluster. */
async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', ownerOnly);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
