/**
 * Who may import whom. `from` and `to` are regular expressions over paths from the repository's root; `$1` in
 * `to` is what the first group of `from` matched. Imports of types count like any other.
 */
export interface BoundaryRule {
  readonly name: string;
  /** What it is good for; printed beside each violation. */
  readonly reason: string;
  readonly from: string;
  readonly fromExcept?: string;
  /** The imports that are forbidden: those whose path matches `to` and not `toExcept`, of these kinds only. */
  readonly to?: string;
  readonly toExcept?: string;
  readonly kinds?: readonly Kind[];
}

/** `core` is Node's own; `npm` and `npm-dev` are packages by their place in package.json. */
type Kind = 'core' | 'npm' | 'npm-dev' | 'npm-no-pkg' | 'npm-unknown';

export const boundaryRules: readonly BoundaryRule[] = [
  {
    name: 'store-knows-no-orders',
    reason: 'the store could serve another program; it knows entries and holds, not orders',
    from: '^store/',
    to: '^(node|guest-functions|bench)/',
  },
  {
    name: 'store-has-one-door',
    reason: 'node/ sees store/index.ts and the port files; everything behind them may change freely',
    from: '^(node|bench)/',
    to: '^store/',
    toExcept: '^store/(index|environment|tables)\\.ts$|^store/[^/]+/port\\.ts$',
  },
  {
    name: 'consensus-imports-nothing',
    reason: 'the consensus core is a pure function, to be read and simulated alone',
    from: '^store/consensus/',
    toExcept: '^store/consensus/',
  },
  {
    name: 'pure-means-pure',
    reason: 'what decides takes time, chance and bytes as values, so that it can be replayed',
    from: '^(node/orders/|store/ledger/(stock|stock-[a-z]+|order-records|recount|commands|answers|machine|time-queue|limits)\\.ts$)',
    kinds: ['core', 'npm', 'npm-dev'],
    // A hash is a function of its input, and so is a codec.
    toExcept: '^(node:)?crypto$|node_modules/@msgpack/',
  },
  {
    name: 'siblings-meet-in-compose',
    reason: 'each part of node/ depends on the words and ports it needs, never on another part',
    from: '^node/([^/]+)/',
    fromExcept: '^node/cli/',
    to: '^node/',
    toExcept: '^node/($1|orders|ports)/',
  },
  {
    name: 'words-and-ports-come-first',
    reason: 'orders/ is the vocabulary, ports/ the contracts over it; neither knows who uses them',
    from: '^node/(orders|ports)/',
    to: '^node/',
    toExcept: '^node/(orders|ports)/',
  },
  {
    name: 'cli-starts-whole-programs',
    reason: 'commands start a node, a sandbox or a database; they do not reach into parts',
    from: '^node/cli/',
    to: '^node/',
    toExcept:
      '^node/(cli/|config/|(compose|config|system)\\.ts$|orders/|reconcilers/(embedded|catalog)\\.ts$|payments/sandbox/)',
  },
  {
    name: 'compose-is-the-top',
    reason: 'only a command builds the program; a part that did would hide what it depends on',
    from: '^(node|store)/',
    fromExcept: '^node/((compose|main)\\.ts$|cli/)',
    to: '^node/(compose|order-flow|main)\\.ts$|^node/cli/',
  },
  {
    name: 'nothing-ships-test-code',
    reason: 'the program does not depend on its tests',
    from: '^(node|store|guest-functions|bench)/',
    // The load generator and the cluster it runs against are the same for tests and measurements.
    fromExcept: '^bench/',
    to: '^test/',
  },
  {
    name: 'bench-uses-the-harness-only',
    reason: 'a measurement shares the harness with the tests, not the tests',
    from: '^bench/',
    to: '^test/',
    toExcept: '^test/e2e/support/',
  },
  {
    name: 'program-needs-no-development-packages',
    reason: 'production installs without them',
    from: '^(node|store)/',
    kinds: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
  },
];
