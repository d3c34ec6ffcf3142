import type { Instruments, Reading } from './instruments.ts';
import { NODE } from './names.ts';
import type { CurrentSources } from './sources.ts';

/** The node as a whole: readiness, links to its peers, bounded queues. */
export function nodeMetrics(instruments: Instruments, sources: CurrentSources): void {
  instruments.gauge(NODE.ready, () => {
    const ready = sources().ready?.();
    return ready === undefined ? undefined : Number(ready);
  });
  instruments.gauges(NODE.linkUp, () => {
    const { network } = sources();
    return (network?.peers ?? []).map((peer): Reading<'peer'> => [
      { peer },
      Number(network?.reachable(peer) ?? false),
    ]);
  });
  instruments.gauges(NODE.sendQueue, () =>
    Object.entries(sources().sendQueues?.() ?? {}).flatMap(([peer, lanes]) =>
      Object.entries(lanes).map(([lane, bytes]): Reading<'peer' | 'lane'> => [{ peer, lane }, bytes]),
    ),
  );
  const perQueue = (value: (queue: { readonly items: number; readonly capacity: number }) => number) => () =>
    (sources().queues?.() ?? []).map((queue): Reading<'queue'> => [{ queue: queue.name }, value(queue)]);
  instruments.gauges(
    NODE.queueItems,
    perQueue(({ items }) => items),
  );
  instruments.gauges(
    NODE.queueCapacity,
    perQueue(({ capacity }) => capacity),
  );
}
