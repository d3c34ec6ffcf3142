import type { FaultReport } from './faults.ts';

/** What struck, as Prometheus reads it. */
export function renderMetrics({ struck, asked }: FaultReport): string {
  const faults = Object.entries(struck).flatMap(([fault, byRoute]) =>
    Object.entries(byRoute).map(
      ([route, count]) => `freehold_sandbox_faults_total{fault="${fault}",route="${route}"} ${count}`,
    ),
  );
  const requests = Object.entries(asked).map(
    ([route, count]) => `freehold_sandbox_requests_total{route="${route}"} ${count}`,
  );
  return [
    '# HELP freehold_sandbox_faults_total Faults of the plan that struck.',
    '# TYPE freehold_sandbox_faults_total counter',
    ...faults,
    '# HELP freehold_sandbox_requests_total Requests, and attempts to deliver an event.',
    '# TYPE freehold_sandbox_requests_total counter',
    ...requests,
    '',
  ].join('\n');
}
