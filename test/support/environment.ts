import type { Clock, Environment, Log, Random } from '../../store/environment.ts';

/** An environment for tests: fatal errors are recorded, warnings and errors kept, the rest is dropped. */
export interface TestEnvironment extends Environment {
  readonly fatalErrors: Error[];
  readonly lines: {
    readonly level: 'warn' | 'error';
    readonly fields: Record<string, unknown>;
    readonly message: string;
  }[];
}

export function testEnvironment(dependencies: {
  readonly clock: Clock;
  readonly random: Random;
}): TestEnvironment {
  const fatalErrors: Error[] = [];
  const lines: TestEnvironment['lines'] = [];
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (fields, message) => lines.push({ level: 'warn', fields, message }),
    error: (fields, message) => lines.push({ level: 'error', fields, message }),
  };
  return {
    ...dependencies,
    log,
    fatalErrors,
    lines,
    fatal: (error) => fatalErrors.push(error),
  };
}
