import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { PROBLEMS } from '../../node/http/problems.ts';
import { createMetrics } from '../../node/metrics/index.ts';
import { DEFINITIONS } from '../../node/metrics/names.ts';
import { parseTextFormat } from '../metrics/text-format.ts';
import { referencesIn } from './promql.ts';

/** Rules and dashboards ask for what the program really measures: a name that is gone alerts nobody. */

const deploy = resolve(import.meta.dirname, '../../deploy');
const yamlOf = <Shape>(path: string) => parse(readFileSync(resolve(deploy, path), 'utf8')) as Shape;

interface Rules {
  readonly groups: readonly {
    readonly name: string;
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly for?: string;
      readonly labels: { readonly severity: string };
      readonly annotations: { readonly summary: string; readonly description?: string };
    }[];
  }[];
}

interface Dashboard {
  readonly uid: string;
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] };
  readonly panels: readonly {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly datasource?: { readonly uid: string };
    readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
  }[];
}

const dashboards = readdirSync(resolve(deploy, 'grafana/dashboards')).map(
  (name) => JSON.parse(readFileSync(resolve(deploy, 'grafana/dashboards', name), 'utf8')) as Dashboard,
);
const rules = yamlOf<Rules>('prometheus/rules.yml').groups.flatMap((group) => group.rules);
const queries = [
  ...rules.map(({ alert, expr }) => ({ where: alert, expr })),
  ...dashboards.flatMap(({ panels }) =>
    panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: title, expr }))),
  ),
];

describe('the reader of PromQL', () => {
  it('finds series, labels and values', () => {
    const found = referencesIn(
      'sum by (le, node) (rate(some_bucket{code=~"A|B", x!="y"}[5m])) / other offset 5m or vector(0)',
    );
    expect(found.series).toEqual(['some_bucket', 'other']);
    expect(found.labels).toEqual(['code', 'x', 'le', 'node']);
    expect(found.values.get('code')).toEqual(['A|B']);
  });

  it.each(['sum(a', 'a{b}', 'a{b="c"', 'a)'])('refuses %s', (expression) => {
    expect(() => referencesIn(expression)).toThrow();
  });
});

describe('queries', () => {
  it.each(queries)('of "$where" refer to metrics and labels that exist: $expr', async ({ expr }) => {
    const { types } = parseTextFormat(await createMetrics({ self: 'n1' }).render());
    const { series, labels, values } = referencesIn(expr);
    expect(series.length).toBeGreaterThan(0);

    const known = new Set(['node', 'job', 'instance', 'le']);
    for (const name of series) {
      if (name === 'up') continue;
      const histogram = /^(.*)_(bucket|sum|count)$/.exec(name)?.[1];
      const isPart = histogram !== undefined && types.get(histogram) === 'histogram';
      expect(types.has(name) || isPart, name).toBe(true);
      // A histogram has no series of its own name, only its parts.
      expect(types.get(name)).not.toBe('histogram');
      const definition = DEFINITIONS.find((each) => each.name === (isPart ? histogram : name));
      for (const label of definition?.labels ?? []) known.add(label);
    }
    for (const label of labels) expect(known, expr).toContain(label);
    if (series.includes('freehold_http_problems_total'))
      for (const code of (values.get('code') ?? []).flatMap((value) => value.split('|')))
        expect(PROBLEMS).toHaveProperty(code);
  });
});

describe('alert rules', () => {
  it('are named once, say how bad it is, and say what happened', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, labels, annotations, for: wait } of rules) {
      expect(alert).toMatch(/^Freehold[A-Z]\w+$/);
      expect(['critical', 'warning'], alert).toContain(labels.severity);
      expect(annotations.summary, alert).toBeTruthy();
      if (wait !== undefined) expect(wait, alert).toMatch(/^\d+[smh]$/);
    }
  });

  it('write templates only about labels that their expression leaves', () => {
    for (const { alert, expr, annotations } of rules) {
      const used = JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g);
      const grouping = /^\s*(?:max|sum|min)\b(?:\s*by\s*\(([^)]*)\))?/.exec(expr);
      if (grouping === null) continue;
      const left = (grouping[1] ?? '').split(',').map((label) => label.trim());
      for (const [, label] of used) expect(left, alert).toContain(label);
    }
  });

  it('cover what must never happen', () => {
    const watched = new Set(rules.flatMap(({ expr }) => referencesIn(expr).series));
    for (const name of [
      'freehold_stock_conservation_residual',
      'freehold_stock_shortfall_units',
      'freehold_ledger_is_leader',
      'freehold_reconciler_lag_seconds',
      'freehold_queue_items',
      'freehold_orders_ended_total',
    ])
      expect(watched).toContain(name);
  });

  it('are those that Prometheus loads', () => {
    const prometheus = yamlOf<{
      rule_files: string[];
      scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
    }>('prometheus/prometheus.yml');
    expect(prometheus.rule_files).toEqual(['rules.yml']);
    const [job] = prometheus.scrape_configs;
    expect(job?.job_name).toBe('freehold');
    for (const { expr } of rules)
      for (const name of referencesIn(expr).values.get('job') ?? []) expect(name).toBe(job?.job_name);
  });
});

describe('dashboards', () => {
  it('have panels of their own ids, all on the provisioned data source', () => {
    const sources = yamlOf<{ datasources: { uid: string }[] }>(
      'grafana/provisioning/datasources/prometheus.yml',
    ).datasources.map(({ uid }) => uid);
    expect(dashboards.length).toBeGreaterThan(0);
    for (const { panels } of dashboards) {
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
      for (const { title, type, datasource, targets } of panels) {
        if (type === 'row') continue;
        for (const { uid } of [datasource, ...(targets ?? []).map((target) => target.datasource)].filter(
          (source) => source !== undefined,
        ))
          expect(sources, title).toContain(uid);
      }
    }
  });

  it('fill their variables from a metric that exists', () => {
    for (const { templating } of dashboards)
      for (const { query } of templating.list) {
        const name = /^label_values\((\w+), node\)$/.exec(query)?.[1];
        expect(DEFINITIONS.map((definition) => definition.name)).toContain(name);
      }
  });
});
