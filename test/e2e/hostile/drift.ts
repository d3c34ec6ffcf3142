import type { DriftReport } from '../../../node/ports/drift.ts';
import type { Cluster } from '../support/cluster.ts';

/** What the shop finds when it compares its books itself: it must come to the same verdict as the checks. */

const reportTimeoutMs = 300_000;

/** One line per difference; an order's begins with its id. */
export async function readDrift(cluster: Cluster): Promise<readonly string[]> {
  const url = `${cluster.url(await cluster.leader())}/reconcilers/report`;
  const { status, body } = await cluster.http.ask('GET', url, { timeoutMs: reportTimeoutMs });
  if (status !== 200) return [`no report: ${String(status)} ${JSON.stringify(body)}`];
  const { differences, unchecked } = body as DriftReport;
  return [
    ...differences.map(
      ({ code, orderId, sku, figures }) =>
        `${[orderId, sku].filter((part) => part !== undefined).join(' ')}: ${code} ${JSON.stringify(figures)}`,
    ),
    ...(unchecked === 0 ? [] : [`${String(unchecked)} more were not looked at`]),
  ];
}
