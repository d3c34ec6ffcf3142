import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { NODE, type Definition, type HistogramDefinition } from './names.ts';

/** A value of a gauge, with its labels where it has any. */
export type Reading<Label extends string> = readonly [labels: Readonly<Record<Label, string>>, value: number];

/**
 * Makes instruments in one registry of its own: two nodes in one process do not meet. Gauges are read when
 * Prometheus asks, never kept up to date; a source that is not there yet, or fails, leaves its gauge without a
 * value and the others as they are. No value is better than a wrong 0: alerts can ask for what is absent.
 */
export class Instruments {
  readonly #registry = new Registry();
  readonly #sourceFailures: Counter;

  constructor(labels: Readonly<Record<string, string>>) {
    this.#registry.setDefaultLabels(labels);
    this.#sourceFailures = this.counter(NODE.sourceFailures);
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  render(): Promise<string> {
    return this.#registry.metrics();
  }

  counter<Label extends string>(definition: Definition<Label>): Counter<Label> {
    return new Counter({ ...this.#common(definition) });
  }

  histogram<Label extends string>(definition: HistogramDefinition<Label>): Histogram<Label> {
    return new Histogram({ ...this.#common(definition), buckets: [...definition.buckets] });
  }

  /** One value; undefined while there is nothing to read it from. */
  gauge(definition: Definition<never>, read: () => number | undefined): void {
    this.gauges(definition, () => {
      const value = read();
      return value === undefined ? [] : [[{}, value]];
    });
  }

  /** One value per set of labels. Labels that are no longer read disappear. */
  gauges<Label extends string>(definition: Definition<Label>, read: () => Iterable<Reading<Label>>): void {
    const gauge = new Gauge({
      ...this.#common(definition),
      collect: () => {
        gauge.reset();
        // Without labels, `reset` leaves a 0 that nobody has measured.
        if (definition.labels.length === 0) gauge.remove();
        try {
          for (const [labels, value] of read()) gauge.set(labels, value);
        } catch {
          this.#sourceFailures.inc({ metric: definition.name });
        }
      },
    });
  }

  #common<Label extends string>({ name, help, labels }: Definition<Label>) {
    return { name, help, labelNames: labels, registers: [this.#registry] };
  }
}
