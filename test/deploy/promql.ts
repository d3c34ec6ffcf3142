/**
 * Reads what a PromQL expression refers to: enough of the grammar to find its metrics and labels, and to notice
 * a name that is neither. Not a parser: what Prometheus refuses for other reasons passes here.
 */

export interface References {
  /** Names of series, as written. */
  readonly series: readonly string[];
  readonly labels: readonly string[];
  /** Matchers as written, per label: the text between the quotes. */
  readonly values: ReadonlyMap<string, readonly string[]>;
}

const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan']);
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)/g;
const MATCHER = /([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;

export function referencesIn(expression: string): References {
  const labels: string[] = [];
  const values = new Map<string, string[]>();
  const bare = expression
    .replaceAll(/\{([^{}]*)\}/g, (_whole, matchers: string) => {
      const rest = matchers.replaceAll(MATCHER, (_matcher, label: string, value: string) => {
        labels.push(label);
        values.set(label, [...(values.get(label) ?? []), value]);
        return '';
      });
      if (!/^[\s,]*$/.test(rest)) throw new Error(`not matchers: {${matchers}}`);
      return ' ';
    })
    .replaceAll(/\[[^\]]*\]|\b\d+(?:ms|[smhdwy])\b/g, ' ')
    .replaceAll(GROUPING, (_whole, names: string) => {
      labels.push(...names.split(',').map((name) => name.trim()));
      return ' ';
    });
  balanced(bare);
  const series = [...bare.matchAll(/[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()/g)]
    .map(([name]) => name)
    .filter((name) => !WORDS.has(name.toLowerCase()));
  return { series, labels, values };
}

function balanced(text: string): void {
  let depth = 0;
  for (const character of text) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (depth < 0) break;
  }
  if (depth !== 0 || /[{}[\]]/.test(text)) throw new Error(`unbalanced: ${text}`);
}
