import { inspect } from 'node:util';

/**
 * A value that must not reach a log, an error message or a JSON answer: everything that prints it by accident
 * prints `[secret]`. Only `reveal()` gives it, where it is used.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [inspect.custom](): string {
    return '[secret]';
  }
}
