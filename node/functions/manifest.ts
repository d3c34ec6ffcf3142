import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Cron } from 'croner';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import type { EffectType, TriggerFact } from '../orders/effects.ts';
import { EFFECT_KINDS, isEffectType } from './effect-schemas.ts';
import { FunctionSetupError } from './setup-error.ts';

/** The manifest of a function, `function.yaml` beside its source, parsed and checked. */
export interface FunctionManifest {
  readonly name: string;
  readonly trigger: Trigger;
  readonly timeoutMs: number;
  /** The most the guest's memory may grow to, in WebAssembly pages of 64 KiB. */
  readonly memoryPages: number;
  /** The export to call. */
  readonly call: string;
  readonly grants: ReadonlySet<EffectType>;
  /** The source's entry file, relative to the function's folder. */
  readonly source: string;
}

export type Trigger =
  | { readonly type: 'http'; readonly method: string; readonly path: string }
  | { readonly type: 'order'; readonly on: readonly TriggerFact[] }
  | { readonly type: 'timer'; readonly cron: string; readonly singleton: boolean };

/** A record, so that the compiler misses none. */
const triggerFacts: Readonly<Record<TriggerFact, true>> = {
  registered: true,
  paid: true,
  paymentRefused: true,
  reserved: true,
  captured: true,
  captureRefused: true,
  outOfStock: true,
  holdLost: true,
  reversed: true,
};

export const TRIGGER_FACTS = Object.keys(triggerFacts) as readonly TriggerFact[];

export const MANIFEST_FILE = 'function.yaml';
export const PAGE_BYTES = 65_536;

const TIMEOUT_MS = { min: 1, max: 60_000 };
const MEMORY_PAGES_MAX = (256 * 1024 * 1024) / PAGE_BYTES;

/** Reads `<folder>/function.yaml`. Throws FunctionSetupError. */
export async function readManifest(folder: string, folderName: string): Promise<FunctionManifest> {
  const file = join(folder, MANIFEST_FILE);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new FunctionSetupError(file, '', error instanceof Error ? error.message : String(error));
  });
  return parseManifest(text, file, folderName);
}

/** `file` is for messages; `folderName` is the name the function must have. Throws FunctionSetupError. */
export function parseManifest(text: string, file: string, folderName: string): FunctionManifest {
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (error) {
    throw new FunctionSetupError(file, '', error instanceof Error ? error.message : String(error));
  }

  const parsed = manifestSchema.safeParse(document);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const key = issue?.path.map(String).join('.') ?? '';
    throw new FunctionSetupError(file, key, issue?.message ?? 'not a manifest');
  }
  const { name, trigger, execution, grants, source } = parsed.data;

  if (name !== folderName) {
    throw new FunctionSetupError(file, 'name', `must be the name of its folder, ${folderName}`);
  }
  for (const [index, grant] of grants.entries()) {
    if (EFFECT_KINDS[grant] !== trigger.type) {
      const reason = `${grant} cannot answer a trigger of type ${trigger.type}`;
      throw new FunctionSetupError(file, `grants.${index}`, reason);
    }
  }
  return {
    name,
    trigger,
    timeoutMs: execution.timeout,
    memoryPages: execution.memory,
    call: execution.call,
    grants: new Set(grants),
    source,
  };
}

/** A number with a unit, such as `200ms`, as a multiple of the smallest unit. */
function quantity(units: Readonly<Record<string, number>>, example: string) {
  const pattern = new RegExp(`^(\\d{1,9})(${Object.keys(units).join('|')})$`);
  return z.string().transform((text, context) => {
    const match = pattern.exec(text);
    if (match !== null) return Number(match[1]) * (units[match[2] ?? ''] ?? Number.NaN);
    context.addIssue({ code: 'custom', message: `expected something like ${example}, not ${text}` });
    return z.NEVER;
  });
}

const timeout = quantity({ ms: 1, s: 1_000 }, '200ms or 1s').refine(
  (ms) => ms >= TIMEOUT_MS.min && ms <= TIMEOUT_MS.max,
  `must be from ${TIMEOUT_MS.min}ms to ${TIMEOUT_MS.max}ms`,
);

const memory = quantity({ KB: 1_024, MB: 1_048_576 }, '512KB or 4MB')
  .transform((bytes) => bytes / PAGE_BYTES)
  .refine((pages) => Number.isInteger(pages) && pages > 0, 'must be a multiple of 64KB')
  .refine((pages) => pages <= MEMORY_PAGES_MAX, 'must be at most 256MB');

const cron = z.string().superRefine((pattern, context) => {
  try {
    // Paused: it is only parsed.
    new Cron(pattern, { paused: true, mode: '5-or-6-parts' });
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
  }
});

const triggerSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('http'),
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
    path: z.string().startsWith('/'),
  }),
  z.strictObject({
    type: z.literal('order'),
    on: z.array(z.enum(TRIGGER_FACTS)).min(1),
  }),
  z.strictObject({ type: z.literal('timer'), cron, singleton: z.boolean() }),
]);

const effectType = z.string().superRefine((type, context) => {
  if (!isEffectType(type)) context.addIssue({ code: 'custom', message: `there is no effect ${type}` });
});

const manifestSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, 'lower-case letters, digits, - and _ only'),
  trigger: triggerSchema,
  execution: z.strictObject({ timeout, memory, call: z.string().min(1) }),
  grants: z.array(effectType.transform((type) => type as EffectType)),
  source: z.string().min(1),
});
