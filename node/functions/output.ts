import { z } from 'zod';
import type { Effect, EffectType } from '../orders/effects.ts';
import { FunctionError } from '../ports/functions.ts';
import { EFFECT_SCHEMAS, isEffectType } from './effect-schemas.ts';

const EFFECTS_MAX = 16;

const envelope = z.strictObject({ effects: z.array(z.unknown()).max(EFFECTS_MAX) });

/**
 * Reads what a function returned. Nothing of it is believed: the text must be JSON, every effect of a known
 * type and exact shape (FUNCTION_BAD_OUTPUT), and granted by the manifest (CAPABILITY_DENIED), or none of the
 * effects counts. That an effect fits the kind of input follows from the grants: see manifest.ts.
 */
export function decodeOutput(
  functionName: string,
  grants: ReadonlySet<EffectType>,
  text: string,
): readonly Effect[] {
  const refuse = (detail: string): never => {
    throw new FunctionError('FUNCTION_BAD_OUTPUT', functionName, detail);
  };

  const outer = envelope.safeParse(parseJson(text));
  if (!outer.success) return refuse(describe(outer.error));

  return outer.data.effects.map((candidate, index) => {
    const type = typeOf(candidate);
    if (!isEffectType(type)) return refuse(`effects.${index}.type: no such effect: ${cut(String(type))}`);
    if (!grants.has(type)) {
      throw new FunctionError('CAPABILITY_DENIED', functionName, `${type} is not granted by its manifest`);
    }
    const effect = EFFECT_SCHEMAS[type].safeParse(candidate);
    return effect.success ? effect.data : refuse(`effects.${index} (${type}): ${describe(effect.error)}`);
  });
}

/** Undefined, which no schema takes, when it is not JSON. The parser's own message would quote the text. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function typeOf(candidate: unknown): unknown {
  return typeof candidate === 'object' && candidate !== null && 'type' in candidate
    ? candidate.type
    : undefined;
}

function describe(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'not the agreed shape';
  const path = issue.path.map(String).join('.');
  return cut(path === '' ? issue.message : `${path}: ${issue.message}`);
}

/** What a function wrote ends up in logs: keep it short. */
function cut(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
