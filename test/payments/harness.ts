import { onTestFinished } from 'vitest';

import { Faults, startSandbox } from '../../node/payments/sandbox/index.ts';
import type { FaultPlan, SandboxOptions, SandboxSummary } from '../../node/payments/sandbox/index.ts';
import { createStripeProvider } from '../../node/payments/stripe-provider.ts';
import type { StripeProvider, StripeProviderOptions } from '../../node/payments/stripe-provider.ts';
import type { Clock } from '../../store/environment.ts';
import { testEnvironment } from '../support/environment.ts';
import type { TestEnvironment } from '../support/environment.ts';

/** The real Stripe client against the real sandbox, over HTTP on this machine; gone when the test is over. */
export interface Shop {
  readonly provider: StripeProvider;
  readonly environment: TestEnvironment;
  /** Every payment that the sandbox knows. */
  readonly payments: () => Promise<SandboxSummary['payments']>;
}

export const webhookSecret = 'whsec_test';

export async function openSandbox(options: Partial<SandboxOptions> = {}, faults?: Faults): Promise<string> {
  const dependencies = faults === undefined ? {} : { faults };
  const sandbox = await startSandbox({ host: '127.0.0.1', port: 0, ...options }, dependencies);
  onTestFinished(() => sandbox.close());
  return sandbox.url;
}

/** Spoils requests for as long as the test says so. */
export class BadDays {
  readonly faults = new Faults();
  requests = 0;

  begin(...rules: FaultPlan['rules']): void {
    this.faults.put(0, { seed: 1, rules });
  }

  end(): void {
    this.faults.clear();
  }
}

export async function openShop(
  options: {
    readonly sandbox?: Partial<SandboxOptions>;
    readonly days?: BadDays;
    readonly provider?: Partial<StripeProviderOptions>;
    /** Moves the provider's wall clock. */
    readonly wallSkewMs?: () => number;
  } = {},
): Promise<Shop> {
  const { days } = options;
  const counting = days === undefined ? {} : { onRequest: () => (days.requests += 1) };
  const url = await openSandbox({ ...counting, ...options.sandbox }, days?.faults);
  return openShopAt(url, options.provider, options.wallSkewMs);
}

export function openShopAt(
  url: string,
  options: Partial<StripeProviderOptions> = {},
  wallSkewMs = () => 0,
): Shop {
  const environment = testEnvironment({ clock: realClock(wallSkewMs), random: () => 0 });
  const { hostname, port } = new URL(url);
  const provider = createStripeProvider(
    {
      apiKey: 'sk_test_sandbox',
      protocol: 'http',
      host: hostname,
      port: Number(port),
      webhookSecret,
      timeoutMs: 5_000,
      maxConcurrent: 16,
      requestsPerSecond: 10_000,
      ...options,
    },
    { environment },
  );
  onTestFinished(() => provider.close());
  const payments = async (): Promise<SandboxSummary['payments']> => {
    const response = await fetch(`${url}/sandbox/summary?limit=10000`);
    return ((await response.json()) as SandboxSummary).payments;
  };
  return { provider, environment, payments };
}

/** Real sockets need real time. */
function realClock(wallSkewMs: () => number): Clock {
  return {
    now: () => Date.now() + wallSkewMs(),
    monotonic: () => performance.now(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  };
}

/** A payment of 12.50 by a card that works, unless `rest` says otherwise. */
export function asked(
  orderId: string,
  rest: Partial<Parameters<StripeProvider['pay']>[0]> = {},
): Parameters<StripeProvider['pay']>[0] {
  return {
    orderId,
    attempt: 1,
    amount: 1_250,
    currency: 'EUR',
    method: 'pm_card_visa',
    capture: 'after-reserve',
    ...rest,
  };
}

/** The intent of an answer that has one. */
export function intentOf(answer: object): string {
  if ('intent' in answer && typeof answer.intent === 'string') return answer.intent;
  throw new Error(`no intent in ${JSON.stringify(answer)}`);
}
