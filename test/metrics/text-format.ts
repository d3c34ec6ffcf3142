/** One line of the Prometheus text format. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Scrape {
  readonly samples: readonly Sample[];
  readonly help: ReadonlyMap<string, string>;
  readonly types: ReadonlyMap<string, string>;
  /** The value of the one sample with this name and (at least) these labels. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** Parses strictly what Prometheus would parse; throws where Prometheus would refuse the scrape. */
export function parseTextFormat(text: string): Scrape {
  if (!text.endsWith('\n')) throw new Error('the last line must end');
  const samples: Sample[] = [];
  const help = new Map<string, string>();
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment;
      const into = kind === 'HELP' ? help : types;
      if (into.has(name)) throw new Error(`${kind} of ${name} twice`);
      into.set(name, rest);
    } else if (line !== '') samples.push(sampleOf(line));
  }
  const keys = samples.map(({ name, labels }) => JSON.stringify([name, Object.entries(labels).toSorted()]));
  if (new Set(keys).size !== keys.length) throw new Error('a sample twice');

  return {
    samples,
    help,
    types,
    value(name, labels = {}) {
      const found = samples.filter(
        (sample) =>
          sample.name === name &&
          Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
      );
      if (found.length > 1) throw new Error(`${name}: ${found.length} samples`);
      return found[0]?.value;
    },
  };
}

function sampleOf(line: string): Sample {
  const match = SAMPLE.exec(line);
  if (match === null) throw new Error(`not a sample: ${line}`);
  const [, name = '', inside = '', text = ''] = match;
  const value = Number(text.replace(/^([+-]?)Inf$/, '$1Infinity'));
  if (Number.isNaN(value) && text.toLowerCase() !== 'nan') throw new Error(`not a number: ${line}`);
  const labels: Record<string, string> = {};
  const label = new RegExp(LABEL);
  while (label.lastIndex < inside.length) {
    const found = label.exec(inside);
    if (found === null) throw new Error(`not labels: ${line}`);
    labels[found[1] ?? ''] = found[2] ?? '';
  }
  return { name, labels, value };
}
