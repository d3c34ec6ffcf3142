/**
 * Builds guest functions: AssemblyScript in, one WebAssembly module per function out.
 *
 * All of them share one compiler in this process: starting it costs about as much as compiling a function.
 * A module carries the fingerprint of all it was made from (sources, SDK, compiler, flags) in a custom section,
 * so that whether it is up to date depends on contents alone, wherever the file was copied from.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { MANIFEST_FILE, readManifest, type FunctionManifest } from '../node/functions/manifest.ts';

export interface BuildOptions {
  /** The folder with one folder per function. */
  readonly directory: string;
  /** Leaves alone what is up to date. */
  readonly ifNeeded: boolean;
  readonly report?: (built: BuiltFunction) => void;
}

export interface BuiltFunction {
  readonly name: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly upToDate: boolean;
}

/** A function that does not compile. `diagnostics` name file and line. */
export class GuestBuildError extends Error {
  readonly code = 'GUEST_BUILD';
  readonly functionName: string;
  readonly diagnostics: string;
  constructor(functionName: string, diagnostics: string) {
    super(`${functionName} does not compile:\n${diagnostics}`);
    this.name = 'GuestBuildError';
    this.functionName = functionName;
    this.diagnostics = diagnostics;
  }
}

/**
 * The part of `assemblyscript/asc` that is used here. Its own types would bring the globals of AssemblyScript,
 * a `console` without `error` among them, into the whole program.
 */
interface Compiler {
  createMemoryStream(): { toString(): string };
  main(
    args: readonly string[],
    options: {
      readonly stderr: unknown;
      readonly writeFile: (file: string, contents: string | Uint8Array) => void;
    },
  ): Promise<{ readonly error: Error | null }>;
}

const PROJECT = join(import.meta.dirname, '..');
const SDK = join(import.meta.dirname, 'sdk');
const FINGERPRINT_SECTION = 'freehold.built-from';

/** Builds every function of a folder whose source is AssemblyScript. Other modules are put there by hand. */
export async function buildGuests(options: BuildOptions): Promise<readonly BuiltFunction[]> {
  const sdk = await hashFolder(SDK);
  const built: BuiltFunction[] = [];
  for (const name of (await readdir(options.directory)).sort()) {
    const folder = join(options.directory, name);
    const isFunction = (await stat(join(folder, MANIFEST_FILE)).catch(() => undefined))?.isFile() ?? false;
    if (!isFunction) continue;
    const manifest = await readManifest(folder, name);
    if (!manifest.source.endsWith('.ts')) continue;

    const result = await buildGuest(folder, manifest, sdk, options.ifNeeded);
    options.report?.(result);
    built.push(result);
  }
  return built;
}

async function buildGuest(
  folder: string,
  manifest: FunctionManifest,
  sdkHash: string,
  ifNeeded: boolean,
): Promise<BuiltFunction> {
  const startedAt = performance.now();
  const { name } = manifest;
  const target = join(folder, `${name}.wasm`);
  const flags = compilerFlags(manifest);
  const fingerprint = hash([await toolVersions(), sdkHash, await hashFolder(folder), ...flags]);

  const present = ifNeeded ? await readFile(target).catch(() => undefined) : undefined;
  if (present !== undefined && fingerprintOf(present) === fingerprint) {
    return { name, bytes: present.length, seconds: 0, upToDate: true };
  }
  const code = await compile(name, join(folder, manifest.source), flags);
  const module = withFingerprint(code, fingerprint);
  await writeWhole(target, module);
  return { name, bytes: module.length, seconds: (performance.now() - startedAt) / 1_000, upToDate: false };
}

/** What shapes the module; nothing that depends on where things are on this machine. */
function compilerFlags(manifest: FunctionManifest): readonly string[] {
  return [
    '--optimizeLevel=3',
    '--shrinkLevel=1',
    `--maximumMemory=${manifest.memoryPages}`,
    '--use=abort=~lib/sdk/abort/abort',
  ];
}

async function compile(name: string, entry: string, flags: readonly string[]): Promise<Uint8Array> {
  // Loaded only when there is something to build: it takes longer than everything else here.
  const compiler = (await import(import.meta.resolve('assemblyscript/asc'))) as Compiler;
  const stderr = compiler.createMemoryStream();
  let code: Uint8Array | undefined;
  // `--path` is where `import … from 'sdk'` finds it, wherever the function itself may be.
  const places = [`--baseDir=${PROJECT}`, `--path=${import.meta.dirname}`, '--outFile=guest.wasm'];
  const { error } = await compiler.main(
    [portable(relative(PROJECT, entry)), ...places, ...flags, '--noColors'],
    {
      stderr,
      writeFile: (file, contents) => {
        if (file === 'guest.wasm' && typeof contents !== 'string') code = contents;
      },
    },
  );
  if (error !== null || code === undefined) {
    throw new GuestBuildError(name, stderr.toString().trim() || String(error));
  }
  return code;
}

/** Versions of what turns source into bytes. */
async function toolVersions(): Promise<string> {
  const packages = [
    import.meta.resolve('assemblyscript/package.json'),
    import.meta.resolve('@extism/as-pdk/package.json'),
  ];
  const versions = packages.map(async (url) => {
    const { name, version } = JSON.parse(await readFile(new URL(url), 'utf8')) as Record<string, string>;
    return `${name}@${version}`;
  });
  return (await Promise.all(versions)).join(' ');
}

/** Over the paths and contents of all sources of a folder. */
async function hashFolder(folder: string): Promise<string> {
  const files = await readdir(folder, { recursive: true });
  const parts: string[] = [];
  for (const file of files.filter((path) => path.endsWith('.ts')).sort()) {
    parts.push(portable(file), await readFile(join(folder, file), 'utf8'));
  }
  return hash(parts);
}

function hash(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function fingerprintOf(code: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    const [section] = WebAssembly.Module.customSections(new WebAssembly.Module(code), FINGERPRINT_SECTION);
    return section === undefined ? undefined : Buffer.from(section).toString('latin1');
  } catch {
    return undefined;
  }
}

/** Appends a custom section: id 0, size, name, contents. All lengths are below 128, one byte of LEB128 each. */
function withFingerprint(code: Uint8Array, fingerprint: string): Uint8Array {
  const body = Buffer.concat([
    Buffer.from([FINGERPRINT_SECTION.length]),
    Buffer.from(FINGERPRINT_SECTION, 'latin1'),
    Buffer.from(fingerprint, 'latin1'),
  ]);
  return Buffer.concat([code, Buffer.from([0, body.length]), body]);
}

/** A reader sees the old module or the new one, whatever else builds at the same time. */
async function writeWhole(target: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, bytes);
    await rename(temporary, target);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The compiler takes and reports paths with slashes. */
function portable(path: string): string {
  return path.split(sep).join('/');
}
