/** How full the file system under the data directory is, as last measured. */
export interface StorageState {
  /** Undefined until it was measured, and where it cannot be. */
  readonly freeBytes: number | undefined;
  /** Below it nothing new is begun. */
  readonly reserveBytes: number;
  /** Too little room for new orders. Those that are here go on: the reserve is theirs. */
  readonly isLow: boolean;
}
