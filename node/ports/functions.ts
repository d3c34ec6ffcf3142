import type { Effect, FunctionInput, TriggerFact } from '../orders/effects.ts';
import type { Deadline } from './deadline.ts';

export type FunctionErrorCode =
  | 'FUNCTION_TIMEOUT'
  | 'FUNCTION_TRAP'
  | 'FUNCTION_BAD_OUTPUT'
  | 'CAPABILITY_DENIED'
  | 'FUNCTION_QUEUE_FULL'
  | 'FUNCTION_UNAVAILABLE'
  /** It did not run: nobody waits for its answer any more. */
  | 'DEADLINE_EXCEEDED';

export class FunctionError extends Error {
  readonly code: FunctionErrorCode;
  readonly functionName: string;
  constructor(code: FunctionErrorCode, functionName: string, detail: string) {
    super(`${functionName}: ${code}: ${detail}`);
    this.name = 'FunctionError';
    this.code = code;
    this.functionName = functionName;
  }
}

export interface Decision {
  readonly effects: readonly Effect[];
  readonly function: string;
  /** SHA-256 of the module, hex. */
  readonly version: string;
}

export interface TimerFunction {
  readonly name: string;
  /** Five or six cron fields (with seconds). */
  readonly cron: string;
  /** Runs only where the ledger is led. */
  readonly singleton: boolean;
}

/** Calls functions; performs nothing. All calls reject with FunctionError. */
export interface FunctionHost {
  /** The function subscribed to this route, such as `POST /orders`. While it waits for its turn, only up to `deadline`. */
  callHttp(route: string, input: FunctionInput, deadline?: Deadline): Promise<Decision>;
  /** The function subscribed to this fact. */
  callOrder(trigger: TriggerFact, input: FunctionInput): Promise<Decision>;
  callTimer(name: string, input: FunctionInput): Promise<Decision>;
  readonly timers: readonly TimerFunction[];
  close(): Promise<void>;
}
