import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { cruise } from 'dependency-cruiser';
import type { ICruiseResult } from 'dependency-cruiser';
import ts from 'typescript';
import { boundaryRules } from './boundary-rules.ts';
import type { BoundaryRule } from './boundary-rules.ts';

/**
 * `npm run check:boundaries`: fails when an import crosses a boundary, runs in a circle, or leads nowhere, and
 * also when there was nothing to check: a cruiser that cannot read TypeScript finds no violations either.
 */

const folders = ['node', 'store', 'bench', 'test'] as const;
/** Those that may stay empty hold no program. */
const mustHaveModules = ['node', 'store'];

type ForbiddenRule = NonNullable<
  NonNullable<NonNullable<Parameters<typeof cruise>[1]>['ruleSet']>['forbidden']
>[number];

export async function checkBoundaries(
  root: string,
  rules: readonly BoundaryRule[] = boundaryRules,
): Promise<{ readonly modules: number; readonly violations: readonly string[] }> {
  const { config } = ts.readConfigFile(resolve(root, 'tsconfig.json'), (file) =>
    readFileSync(file, 'utf8'),
  ) as {
    config: unknown;
  };
  const { output } = await cruise(
    [...folders],
    {
      baseDir: root,
      validate: true,
      tsPreCompilationDeps: true,
      doNotFollow: { path: 'node_modules' },
      ruleSet: {
        forbidden: [
          ...rules.map(toForbidden),
          {
            name: 'no-circles',
            comment: 'what imports itself cannot be understood in order',
            severity: 'error',
            from: {},
            to: { circular: true },
          },
          {
            name: 'no-dead-ends',
            comment: 'the import leads nowhere',
            severity: 'error',
            from: {},
            to: { couldNotResolve: true },
          },
        ],
      },
    },
    { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types', 'default'] },
    { tsConfig: config },
  );
  const { modules, summary } = output as ICruiseResult;
  const own = modules.filter((module) => folders.some((folder) => module.source.startsWith(`${folder}/`)));
  const violations = summary.violations.map(
    ({ from, to, rule, comment }) =>
      `${from} → ${to}: ${rule.name} (${comment ?? reasonOf(rule.name, rules)})`,
  );
  for (const folder of mustHaveModules)
    if (!own.some((module) => module.source.startsWith(`${folder}/`) && module.source.endsWith('.ts')))
      violations.push(`${folder}/: no TypeScript module was read, so nothing was checked`);
  return { modules: own.length, violations };
}

function toForbidden(rule: BoundaryRule): ForbiddenRule {
  return {
    name: rule.name,
    comment: rule.reason,
    severity: 'error',
    from: { path: rule.from, ...(rule.fromExcept === undefined ? {} : { pathNot: rule.fromExcept }) },
    to: {
      ...(rule.to === undefined ? {} : { path: rule.to }),
      ...(rule.toExcept === undefined ? {} : { pathNot: rule.toExcept }),
      ...(rule.kinds === undefined ? {} : { dependencyTypes: [...rule.kinds] }),
    },
  };
}

function reasonOf(name: string, rules: readonly BoundaryRule[]): string {
  return rules.find((rule) => rule.name === name)?.reason ?? '';
}

if (import.meta.main) {
  const { modules, violations } = await checkBoundaries(resolve(import.meta.dirname, '../..'));
  for (const violation of violations) console.error(violation);
  console.log(`${String(modules)} modules, ${String(violations.length)} violations`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
