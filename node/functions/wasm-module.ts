import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { FunctionManifest } from './manifest.ts';
import { FunctionSetupError } from './setup-error.ts';
import { readLimits, WasmFormatError } from './wasm-limits.ts';

/** A module that was read, checked against its manifest and compiled, once for all workers. */
export interface GuestModule {
  readonly module: WebAssembly.Module;
  /** SHA-256 of its bytes, hex: the function's version. */
  readonly version: string;
}

/**
 * What a guest may import: its input, its output, scratch blocks and the log. Left out on purpose are Extism's
 * variables and configuration, which would carry state from one call to the next, and its HTTP client.
 */
const ALLOWED_IMPORTS: ReadonlySet<string> = new Set(
  [
    'input_length',
    'input_offset',
    'input_load_u8',
    'input_load_u64',
    'output_set',
    'error_set',
    'alloc',
    'free',
    'length',
    'length_unsafe',
    'load_u8',
    'load_u64',
    'store_u8',
    'store_u64',
    'log_debug',
    'log_info',
    'log_warn',
    'log_error',
  ].map((name) => `extism:host/env.${name}`),
);

/** Tables live outside the guest's memory, so they get a bound of their own. */
const TABLE_ELEMENTS_MAX = 65_536;

/** Throws FunctionSetupError when the module could do more than its manifest says. */
export async function loadModule(file: string, manifest: FunctionManifest): Promise<GuestModule> {
  const refuse = (reason: string): never => {
    throw new FunctionSetupError(file, '', reason);
  };
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT' ? refuse('not built yet: run `npm run build:guests`') : refuse(error.message),
  );
  const module = await WebAssembly.compile(bytes).catch((error: unknown) => refuse(String(error)));

  for (const { module: space, name } of WebAssembly.Module.imports(module)) {
    if (!ALLOWED_IMPORTS.has(`${space}.${name}`)) {
      refuse(`imports ${space}.${name}, which no function may`);
    }
  }
  const exports = WebAssembly.Module.exports(module);
  if (!exports.some(({ name, kind }) => kind === 'function' && name === manifest.call)) {
    refuse(`does not export the function ${manifest.call} that execution.call names`);
  }
  checkLimits(bytes, manifest, refuse);
  return { module, version: createHash('sha256').update(bytes).digest('hex') };
}

function checkLimits(bytes: Uint8Array, manifest: FunctionManifest, refuse: (reason: string) => never): void {
  try {
    const limits = readLimits(bytes);
    const memoryPages = limits.memories.reduce((sum, memory) => sum + memory.maximum, 0);
    if (memoryPages > manifest.memoryPages) {
      refuse(`may grow to ${memoryPages} pages; execution.memory allows ${manifest.memoryPages}`);
    }
    const elements = limits.tables.reduce((sum, table) => sum + table.maximum, 0);
    if (elements > TABLE_ELEMENTS_MAX) {
      refuse(`its tables may grow to ${elements} elements; at most ${TABLE_ELEMENTS_MAX} are allowed`);
    }
  } catch (error) {
    if (error instanceof WasmFormatError) refuse(error.message);
    throw error;
  }
}
