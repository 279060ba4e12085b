import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

export type Labels = Readonly<Record<string, string>>

/** One metric at the moment of a scrape: its values by their labels. */
export type Samples = readonly (readonly [labels: Labels, value: number])[]

export interface Described {
  /** `holdfast_…`, in base units, the unit last. */
  readonly name: string
  readonly help: string
  readonly type: 'gauge' | 'counter'
  readonly labels: readonly string[]
}

/** Counts what happens in this process; starts at 0 with it. */
export interface Tally {
  add(labels: Labels): void
}

/** Everything measured of one service, as Prometheus reads it. */
export interface Meters {
  readonly contentType: string
  /** A metric whose values are given anew at every scrape, by `set`. */
  define(metric: Described): { set(samples: Samples): void }
  /** `from`: what is there with 0 before the first, so that the first is an increase. */
  tally(metric: Omit<Described, 'type'>, from?: readonly Labels[]): Tally
  render(): Promise<string>
}

/** With the process's own metrics (`process_…`, `nodejs_…`). */
export function createMeters(): Meters {
  const register = new Registry()
  collectDefaultMetrics({ register })
  return {
    contentType: register.contentType,
    define: ({ name, help, type, labels }) => {
      const options = { name, help, labelNames: [...labels], registers: [register] }
      if (type === 'gauge') {
        const gauge = new Gauge(options)
        return { set: (samples) => replace(gauge, samples, (to, value) => gauge.set(to, value)) }
      }
      // A counter that is kept elsewhere and survives this process.
      const counter = new Counter(options)
      return { set: (samples) => replace(counter, samples, (to, value) => counter.inc(to, value)) }
    },
    tally: ({ name, help, labels }, from = []) => {
      const counter = new Counter({ name, help, labelNames: [...labels], registers: [register] })
      for (const given of from) counter.inc({ ...given }, 0)
      return { add: (given) => counter.inc({ ...given }) }
    },
    // Before its first sample the delay of the event loop is no number, which prom-client misspells.
    render: async () => (await register.metrics()).replaceAll(/^[^#\n].* Nan\n/gm, ''),
  }
}

/** What is not known is absent, never 0: `reset` leaves a 0 where there are no labels. */
function replace(
  metric: Gauge | Counter,
  samples: Samples,
  put: (labels: Record<string, string>, value: number) => void,
): void {
  metric.reset()
  metric.remove({})
  for (const [labels, value] of samples) put({ ...labels }, value)
}
