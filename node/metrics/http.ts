import type { GivenUp } from '../ports/deadline.ts';
import type { Instruments } from './instruments.ts';
import { HTTP } from './names.ts';

export function httpMetrics(instruments: Instruments) {
  const duration = instruments.histogram(HTTP.requestDuration);
  const problems = instruments.counter(HTTP.problems);
  const givenUp = instruments.counter(HTTP.givenUp);
  return {
    /** `route` is the pattern, never the path: a label per order would fill the memory of Prometheus. */
    answered(request: {
      readonly method: string;
      readonly route: string;
      readonly status: number;
      readonly seconds: number;
    }): void {
      const { method, route, status, seconds } = request;
      duration.observe({ method, route, status }, seconds);
    },
    refused: (code: string): void => problems.inc({ code }),
    gaveUp: (reason: GivenUp): void => givenUp.inc({ reason }),
  };
}
