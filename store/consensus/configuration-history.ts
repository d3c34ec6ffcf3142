import { assert } from './assert.ts';
import { decodeConfiguration } from './configuration.ts';
import type { Configuration, Entry } from './types.ts';

/**
 * Which configuration holds from which index on: the log's `configuration` entries, and what was before them.
 *
 * 1. The latest one is in force from the moment it is in the log, decided or not; when its entry is replaced, the
 *    one before is in force again (dissertation, 4.1).
 * 2. Of those that are not decided there is at most one, so the two latest are all that counting needs.
 */
export class ConfigurationHistory {
  /** By ascending index; never empty. The first one is decided. */
  #known: readonly InForce[];

  constructor(first: InForce) {
    this.#known = [first];
  }

  get latest(): InForce {
    const latest = this.#known.at(-1);
    assert(latest !== undefined, 'there is a configuration');
    return latest;
  }

  /** The one before the latest, which decides in its place if that comes to nothing. */
  get previous(): Configuration | undefined {
    return this.#known.at(-2)?.configuration;
  }

  /** What was in force when the log ended at `index`, which must not be before what is still known. */
  at(index: number): Configuration {
    const inForce = this.#known.findLast((each) => each.index <= index);
    assert(inForce !== undefined, `the configuration at ${index} is forgotten`);
    return inForce.configuration;
  }

  append({ index, kind, data }: Entry): void {
    if (kind !== 'configuration' || index <= this.latest.index) return;
    const configuration = decodeConfiguration(data);
    assert(configuration !== undefined, `entry ${index} holds a configuration`);
    this.#known = [...this.#known, { index, configuration }];
  }

  /** The entries from `index` on are gone. */
  truncate(index: number): void {
    if (this.latest.index >= index) this.#known = this.#known.filter((each) => each.index < index);
  }

  /** Nobody will ask about anything before `index`. */
  forgetBefore(index: number): void {
    const { length } = this.#known.filter((each) => each.index <= index);
    if (length > 1) this.#known = this.#known.slice(length - 1);
  }
}

export interface InForce {
  /** Of its entry; 0 for what a cluster is founded with. */
  readonly index: number;
  readonly configuration: Configuration;
}
