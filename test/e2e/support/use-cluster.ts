import { afterAll, afterEach, beforeAll } from 'vitest';
import { Cluster } from './cluster.ts';
import type { ClusterOptions } from './cluster.ts';

/**
 * One cluster for the tests of a file or group. What it logged is printed when one of them fails, and its data
 * is then kept. It must end cleanly, or the group fails. Options that an earlier `beforeAll` finds out are asked for.
 */
export function useCluster(options: ClusterOptions | (() => ClusterOptions) = {}): () => Cluster {
  let cluster: Cluster | undefined;
  let failed = false;

  beforeAll(async () => {
    cluster = await Cluster.start(typeof options === 'function' ? options() : options);
  });
  afterEach(({ task }) => {
    if (task.result?.state !== 'fail') return;
    failed = true;
    console.error(cluster?.describe());
  });
  afterAll(async () => {
    await cluster?.stop({ keep: failed });
  });

  return () => {
    if (cluster === undefined) throw new Error('the cluster is not there outside of tests');
    return cluster;
  };
}
