/** Bounds of what the ledger accepts. Checked before a command is sent and again when it is applied. */
export const limits = {
  /** What fits, with its envelope, into one frame of the network's fast lane. */
  commandBytesMax: 3.5 * 1024 * 1024,
  /** Order ids, fingerprints, SKUs, registrations and adjustment ids, in UTF-16 units. */
  identifierLengthMax: 128,
  productNameLengthMax: 512,
  linesPerHoldMax: 500,
  holdTtlMsMax: 7 * 24 * 3_600_000,
  /**
   * |onHand| stays within this. A hold is granted only out of available units, so held + sold never exceeds
   * the largest onHand there was, and every sum the ledger makes stays an exact integer.
   */
  unitsMax: 2 ** 50,
  /** Rows, removals and applied ids in one `stockSync` command; a larger sync travels in parts. */
  syncEntriesPerPart: 2_000,
  /** The same, over all parts of one sync. */
  syncEntriesMax: 2_000_000,
  /** Corrections kept between two syncs. */
  adjustmentsMax: 10_000,
  /** Holds that one `expire` command gives back, so that no single command stalls a replica. */
  expiriesPerCommand: 1_000,
  /** Records that one `forget` command drops, for the same reason. */
  forgottenPerCommand: 1_000,
} as const;
