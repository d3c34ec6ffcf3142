import { mkdirSync, writeFileSync } from 'node:fs';
import { Document, parse } from 'yaml';
import type { Plan, PlannedNode } from './plan.ts';
import { isHttp } from './settings.ts';
import type { DevSettings } from './settings.ts';

/** The `freehold.yaml` of a node of a local cluster, as an operator would write it. */

export interface NodeFileInput {
  readonly plan: Plan;
  readonly settings: DevSettings;
  readonly node: PlannedNode;
  /** Whom its file lists: the founders, whoever joined them, and itself. */
  readonly members: readonly PlannedNode[];
  readonly peerIds: ReadonlyMap<string, string>;
  readonly systemOfRecordUrl: string;
}

export function writeNodeFile(input: NodeFileInput): void {
  mkdirSync(input.node.directory, { recursive: true });
  // 0600: a system-of-record URL given by the environment may hold a password.
  writeFileSync(input.node.configFile, renderNodeFile(input), { mode: 0o600 });
}

export function renderNodeFile(input: NodeFileInput): string {
  const { plan, settings, node, members, peerIds, systemOfRecordUrl } = input;
  const document = new Document({
    node: node.name,
    zone: plan.zone,
    data: node.dataDirectory,
    http: { host: plan.host, port: node.httpPort },
    peers: { host: plan.host, port: node.listenPort },
    members: members.map((member) => ({
      id: member.name,
      peerId: peerIds.get(member.name),
      address: `${plan.host}:${String(member.peerPort)}`,
      http: member.httpUrl,
      // A newcomer founds nothing: the others tell it what it is.
      ...(member.founds ? {} : { voter: false }),
    })),
    ...systemOfRecordOf(settings, systemOfRecordUrl),
    payments: {
      provider: 'stripe',
      apiKey: 'sk_test_sandbox',
      webhookSecret: plan.sandbox.webhookSecret,
      apiBase: plan.sandbox.url,
      capture: settings.capture,
      // The sandbox has no such limit; a developer's load test should meet the store's, not Stripe's.
      requestsPerSecond: 100_000,
      maxConcurrent: 256,
      // Nor does its search lag, except where a fault plan says so.
      searchLag: '3s',
    },
    log: { level: settings.logLevel },
  });
  for (const [key, value] of settings.overrides) document.setIn(key.split('.'), parse(value) as unknown);
  document.commentBefore = ' Written by `freehold dev` at each start; changes made here are lost.';
  return document.toString();
}

function systemOfRecordOf({ catalog, systemOfRecordToken: token }: DevSettings, url: string): object {
  if (!isHttp(url)) return { systemOfRecord: { url }, catalog };
  return { systemOfRecord: { kind: 'http', url, ...(token === undefined ? {} : { token }) } };
}
