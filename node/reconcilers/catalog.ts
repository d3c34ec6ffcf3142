import { readFile } from 'node:fs/promises';
import { CsvError, parse } from 'csv-parse/sync';
import type { Info } from 'csv-parse/sync';
import { SKU_LENGTH_MAX, SKU_PATTERN } from '../orders/sku.ts';

/**
 * Reads a catalogue from a CSV file, for a system of record that has none yet. All mistakes are told at once,
 * each with its place; a file with any mistake gives nothing.
 */
export interface CatalogProduct {
  readonly sku: string;
  readonly name: string;
  /** Minor units. */
  readonly unitPrice: number;
  /** ISO 4217. */
  readonly currency: string;
  readonly onHand: number;
  /** How long its units are set aside for an order, when that is not the shop's default. */
  readonly holdSeconds?: number;
  /** Units of it that one order may have, when that is not the shop's default. */
  readonly maxPerOrder?: number;
}

export interface CatalogMistake {
  /** From 1, the heading included. */
  readonly line: number;
  readonly column?: Column;
  readonly reason: string;
}

export class CatalogError extends Error {
  readonly code = 'INVALID_CATALOG';
  readonly file: string;
  readonly mistakes: readonly CatalogMistake[];
  constructor(file: string, mistakes: readonly CatalogMistake[]) {
    const shown = mistakes
      .slice(0, mistakesShown)
      .map((mistake) => `\n  ${place(file, mistake)}: ${mistake.reason}`);
    const more = mistakes.length > mistakesShown ? `\n  and ${mistakes.length - mistakesShown} more` : '';
    super(`INVALID_CATALOG: ${mistakes.length} in ${file}${shown.join('')}${more}`);
    this.name = 'CatalogError';
    this.file = file;
    this.mistakes = mistakes;
  }
}

const columns = ['sku', 'name', 'price_minor', 'currency', 'on_hand'] as const;
/** May be left out, and their fields may be empty. */
const optionalColumns = ['hold_seconds', 'max_per_order'] as const;
type OptionalColumn = (typeof optionalColumns)[number];
type Column = (typeof columns)[number] | OptionalColumn;
type Fields = Readonly<Record<(typeof columns)[number], string> & Partial<Record<OptionalColumn, string>>>;

const mistakesShown = 20;
const productsMax = 1_000_000;
/** What the columns hold in the database: see migrations/0001 and 0002. */
const integerMax = 2 ** 31 - 1;
const optionalMax: Readonly<Record<OptionalColumn, number>> = {
  hold_seconds: 7 * 24 * 3_600,
  max_per_order: integerMax,
};
const nameLengthMax = 512;

/** The products of a file. Rejects with CatalogError, or with the file system's error. */
export async function loadCatalog(file: string): Promise<readonly CatalogProduct[]> {
  return parseCatalog(await readFile(file, 'utf8'), file);
}

export function parseCatalog(text: string, file: string): readonly CatalogProduct[] {
  const rows = readRows(text, file);
  const mistakes: CatalogMistake[] = [];
  const firstLines = new Map<string, number>();
  const products = rows.map(({ fields, line }) => {
    const complain = (column: Column, reason: string): void => void mistakes.push({ line, column, reason });
    for (const [column, reason] of findMistakes(fields)) complain(column, reason);
    const earlier = firstLines.get(fields.sku);
    if (earlier === undefined) firstLines.set(fields.sku, line);
    else complain('sku', `${fields.sku} was listed before, on line ${earlier}`);
    return {
      sku: fields.sku,
      name: fields.name,
      unitPrice: Number(fields.price_minor),
      currency: fields.currency,
      onHand: Number(fields.on_hand),
      ...(isGiven(fields.hold_seconds) ? { holdSeconds: Number(fields.hold_seconds) } : {}),
      ...(isGiven(fields.max_per_order) ? { maxPerOrder: Number(fields.max_per_order) } : {}),
    };
  });
  if (products.length === 0) mistakes.push({ line: 1, reason: 'the file lists no products' });
  if (products.length > productsMax) mistakes.push({ line: 1, reason: `more than ${productsMax} products` });
  if (mistakes.length > 0) throw new CatalogError(file, mistakes);
  return products;
}

function readRows(text: string, file: string): readonly { readonly fields: Fields; readonly line: number }[] {
  try {
    return parse<{ record: Fields; info: Info }>(text, {
      bom: true,
      trim: true,
      info: true,
      skip_empty_lines: true,
      columns: (heading: string[]) => checkHeading(heading, file),
    }).map(({ record, info }) => ({ fields: record, line: info.lines }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = typeof error.lines === 'number' ? error.lines : 1;
    throw new CatalogError(file, [{ line, reason: error.message }]);
  }
}

function checkHeading(heading: readonly string[], file: string): string[] {
  const mistakes: CatalogMistake[] = [
    ...columns
      .filter((column) => !heading.includes(column))
      .map((column) => ({ line: 1, column, reason: 'missing' })),
    ...heading
      .filter((name, index) => !isColumn(name) || heading.indexOf(name) !== index)
      .map((name) => ({
        line: 1,
        reason: `unexpected column "${name}"; wanted ${columns.join(',')}, and if need be ${optionalColumns.join(',')}`,
      })),
  ];
  if (mistakes.length > 0) throw new CatalogError(file, mistakes);
  return [...heading];
}

function* findMistakes(fields: Fields): Generator<readonly [Column, string]> {
  const { sku, name, currency } = fields;
  if (sku === '' || sku.length > SKU_LENGTH_MAX) yield ['sku', `must have 1 to ${SKU_LENGTH_MAX} characters`];
  else if (!new RegExp(SKU_PATTERN).test(sku))
    yield ['sku', 'must be letters, digits and . _ : -, and begin with no sign'];
  if (name === '' || name.length > nameLengthMax)
    yield ['name', `must have 1 to ${nameLengthMax} characters`];
  if (!/^[A-Z]{3}$/.test(currency)) yield ['currency', `"${currency}" is not an ISO 4217 code such as EUR`];
  for (const column of ['price_minor', 'on_hand'] as const) {
    const value = fields[column];
    if (/^-\d/.test(value)) yield [column, `${value} is negative`];
    else if (!/^\d+$/.test(value)) yield [column, `"${value}" is not a whole number`];
    else if (Number(value) > integerMax) yield [column, `${value} is more than ${integerMax}`];
  }
  for (const column of optionalColumns) {
    const value = fields[column];
    const most = optionalMax[column];
    if (!isGiven(value)) continue;
    if (!/^\d+$/.test(value) || Number(value) < 1 || Number(value) > most)
      yield [column, `"${value}" is not a whole number from 1 to ${most}`];
  }
}

function isColumn(name: string): boolean {
  return [...columns, ...optionalColumns].some((column) => column === name);
}

function isGiven(field: string | undefined): field is string {
  return field !== undefined && field !== '';
}

function place(file: string, { line, column }: CatalogMistake): string {
  return column === undefined ? `${file}:${line}` : `${file}:${line} ${column}`;
}
