/**
 * Which links between the nodes of a local cluster are cut, and which are slow. A link has a direction: what
 * `n1` says to `n2` may be lost while what `n2` says to `n1` arrives. Knows names only; peer-proxy.ts makes it true.
 */

export type Direction = 'in' | 'out';

export interface LinkState {
  readonly cut: boolean;
  readonly delayMs: number;
}

export class LinkFaults {
  readonly #nodes: string[];
  readonly #cut = new Set<string>();
  readonly #delayMs = new Map<string, number>();

  constructor(options: { readonly nodes: readonly string[] }) {
    this.#nodes = [...options.nodes];
  }

  get nodes(): readonly string[] {
    return this.#nodes;
  }

  /** One more node, whose links are whole and fast. */
  add(node: string): void {
    if (!this.#nodes.includes(node)) this.#nodes.push(node);
  }

  state(from: string, to: string): LinkState {
    return {
      cut: this.#cut.has(linkName(from, to)),
      delayMs: (this.#delayMs.get(from) ?? 0) + (this.#delayMs.get(to) ?? 0),
    };
  }

  /** Cuts `node` from `other`, or from all others; with `oneWay` only what comes in to it, or goes out from it. */
  partition(node: string, options: { readonly other?: string; readonly oneWay?: Direction } = {}): void {
    for (const other of this.#nodes) {
      if (other === node || (options.other !== undefined && options.other !== other)) continue;
      if (options.oneWay !== 'out') this.#cut.add(linkName(other, node));
      if (options.oneWay !== 'in') this.#cut.add(linkName(node, other));
    }
  }

  /** Everything that `node` says and hears takes `delayMs` longer; 0 for as fast as ever. */
  slow(node: string, delayMs: number): void {
    if (delayMs === 0) this.#delayMs.delete(node);
    else this.#delayMs.set(node, delayMs);
  }

  /** All links of `node`, or of everybody, are whole and fast again. */
  heal(node?: string): void {
    for (const link of this.#cut)
      if (node === undefined || link.split(arrow).includes(node)) this.#cut.delete(link);
    if (node === undefined) this.#delayMs.clear();
    else this.#delayMs.delete(node);
  }

  /** One line per fault, such as `n1 → n2` `cut`. */
  list(): readonly (readonly [what: string, how: string])[] {
    return [
      ...[...this.#cut].toSorted().map((link) => [link, 'cut'] as const),
      ...[...this.#delayMs].map(([node, delayMs]) => [node, `slow by ${String(delayMs)} ms`] as const),
    ];
  }
}

/** Whichever of several links it may be. */
export function worstOf(states: readonly LinkState[]): LinkState {
  return {
    cut: states.some(({ cut }) => cut),
    delayMs: Math.max(0, ...states.map(({ delayMs }) => delayMs)),
  };
}

const arrow = ' → ';

function linkName(from: string, to: string): string {
  return `${from}${arrow}${to}`;
}
