import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, UsageError } from '../context.ts';
import { isFounded } from './founding.ts';
import type { Member } from './members-asked.ts';
import { founders, newcomers } from './plan.ts';

/**
 * Which nodes a local cluster has had, and what became of each: a file beside their directories, so that the next start
 * brings up all that take part and none that was removed. Owns that file; who takes part is decided by the cluster.
 *
 * T1  A node is listed before its process starts: whatever happens then, the next start knows of it.
 * T2  Only the members' own list makes a node a member, or one that was removed. Who was added and has not been seen in
 *     it yet is joining.
 * T3  No node is ever taken off, and a name is used once: the directory of one that was removed stays as it is.
 */

export type Standing = 'joining' | 'observer' | 'voter' | 'removed';

interface Written {
  /** What FREEHOLD_PORT was: the nodes know each other by the ports that follow from it. */
  readonly port: number;
  readonly nodes: Readonly<Record<string, Standing>>;
}

export class Roster {
  readonly #file: string;
  readonly #port: number;
  #nodes: ReadonlyMap<string, Standing>;

  /** Throws UsageError when the cluster stands on other ports, CommandError when the file makes no sense. */
  static open({ dataDirectory, port }: { readonly dataDirectory: string; readonly port: number }): Roster {
    const file = join(dataDirectory, 'nodes.json');
    const written = read(file);
    if (written === undefined) return new Roster(file, port, foundIn(dataDirectory));
    if (written.port !== port && isFounded({ dataDirectory }))
      throw new UsageError(
        `the nodes in ${dataDirectory} know each other by the ports of FREEHOLD_PORT=${String(written.port)}: ` +
          'start them with that, or set FREEHOLD_DATA for another cluster',
      );
    return new Roster(file, port, new Map(Object.entries(written.nodes)));
  }

  private constructor(file: string, port: number, nodes: ReadonlyMap<string, Standing>) {
    this.#file = file;
    this.#port = port;
    this.#nodes = nodes;
  }

  /** Undefined for a name that was never used here. */
  standing(name: string): Standing | undefined {
    return this.#nodes.get(name);
  }

  /** Those to start. */
  get present(): readonly string[] {
    return [...this.#nodes].filter(([, standing]) => standing !== 'removed').map(([name]) => name);
  }

  get removed(): readonly string[] {
    return [...this.#nodes].filter(([, standing]) => standing === 'removed').map(([name]) => name);
  }

  /** The first name that a new node may have; undefined when all have been used. */
  get freeName(): string | undefined {
    return newcomers.find((name) => !this.#nodes.has(name));
  }

  /** To be called before a node that is added starts. */
  join(name: string): void {
    if (!this.#nodes.has(name)) this.#write(new Map([...this.#nodes, [name, 'joining']]));
  }

  /** Takes up what the cluster says of its members. */
  follow(members: readonly Member[]): void {
    const listed = new Map(members.map(({ id, voter }) => [id, voter ? 'voter' : 'observer'] as const));
    this.#write(
      new Map(
        [...this.#nodes].map(([name, standing]) => [
          name,
          listed.get(name) ?? (standing === 'joining' ? 'joining' : 'removed'),
        ]),
      ),
    );
  }

  #write(nodes: ReadonlyMap<string, Standing>): void {
    this.#nodes = nodes;
    const written: Written = { port: this.#port, nodes: Object.fromEntries(nodes) };
    const text = `${JSON.stringify(written, undefined, 2)}\n`;
    if (existsSync(this.#file) && readFileSync(this.#file, 'utf8') === text) return;
    // A start that reads half of it would leave nodes out.
    writeFileSync(`${this.#file}.new`, text);
    renameSync(`${this.#file}.new`, this.#file);
  }
}

function read(file: string): Written | undefined {
  if (!existsSync(file)) return undefined;
  try {
    const { port, nodes } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Written>;
    if (typeof port === 'number' && isStandings(nodes)) return { port, nodes };
  } catch {
    // Not JSON: told below.
  }
  throw new CommandError(
    `${file} does not say which nodes there are. Move it aside: the next start goes by their directories`,
  );
}

function isStandings(nodes: unknown): nodes is Written['nodes'] {
  if (typeof nodes !== 'object' || nodes === null) return false;
  const known = new Set([...founders, ...newcomers]);
  return Object.entries(nodes as Record<string, unknown>).every(
    ([name, standing]) => known.has(name) && isStanding(standing),
  );
}

function isStanding(value: unknown): value is Standing {
  return typeof value === 'string' && ['joining', 'observer', 'voter', 'removed'].includes(value);
}

/** Without a file: those that a cluster begins with, and whoever has a key in a directory of its own. */
function foundIn(dataDirectory: string): ReadonlyMap<string, Standing> {
  const joined = newcomers.filter((name) => existsSync(join(dataDirectory, name, 'data', 'identity.key')));
  return new Map([
    ...founders.map((name) => [name, 'voter'] as const),
    ...joined.map((name) => [name, 'joining'] as const),
  ]);
}
