/** The one door of the store. What stands behind it may change freely. */
export type { Cancel, Clock, Environment, Log, NodeId, Random } from './environment.ts';
export { DiskError, type DiskErrorCode } from './disk/errors.ts';
export type * from './journal/port.ts';
export { JournalError } from './journal/port.ts';
export type * from './ledger/port.ts';
export { LedgerError } from './ledger/port.ts';
export {
  createIdentity,
  IdentityError,
  loadOrCreateIdentity,
  peerIdOf,
  type Identity,
} from './peers/identity.ts';
export type * from './membership/port.ts';
export { MembershipError } from './membership/port.ts';
export { MembersError, type Address } from './peers/members.ts';
export { NetworkError } from './peers/network.ts';
export type { StoreObserver } from './assemble.ts';
export { openStore, type MemberStatus, type Store, type StoreOptions, type StoreStats } from './open.ts';
export type { Table } from './tables.ts';
