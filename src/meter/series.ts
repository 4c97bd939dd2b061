// The metrics of this registry: every name, what it means and its labels, and how a series is written in the text
// format of Prometheus (version 0.0.4). Labels hold words of ours and configured hosts only, so there is an end to them.

interface Metric {
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly labels: readonly string[]
}

/** Every metric, in the order in which they are shown. */
export const METRICS = {
  entrepot_requests_total: {
    type: 'counter',
    help: 'Requests, by endpoint, kind of repository, what the cache did, and class of status.',
    labels: ['endpoint', 'kind', 'outcome', 'status'],
  },
  entrepot_sent_bytes_total: {
    type: 'counter',
    help: 'Bytes of manifests and blobs that answers announced, by where clients have them from.',
    labels: ['kind', 'from'],
  },
  entrepot_redirects_total: {
    type: 'counter',
    help: 'Blobs for which a client was sent to storage (307).',
    labels: ['kind'],
  },
  entrepot_errors_total: {
    type: 'counter',
    help: 'Requests that were answered with an error, by its code.',
    labels: ['code'],
  },
  entrepot_upstream_requests_total: {
    type: 'counter',
    help: 'Requests to upstream registries, by class of status; none: no answer.',
    labels: ['upstream', 'status'],
  },
  entrepot_upstream_read_bytes_total: {
    type: 'counter',
    help: 'Bytes of manifests and blobs that were read from upstream registries.',
    labels: ['upstream'],
  },
  entrepot_fills_started_total: {
    type: 'counter',
    help: 'Blobs that began to be fetched into the cache.',
    labels: ['upstream'],
  },
  entrepot_fills_ended_total: {
    type: 'counter',
    help: 'Fills that ended: the blob is stored, the upstream has none (absent), or it failed.',
    labels: ['upstream', 'result'],
  },
  entrepot_jobs_ended_total: {
    type: 'counter',
    help: 'Jobs that ended, by what they did and how they ended.',
    labels: ['kind', 'state'],
  },
  entrepot_jobs_unfinished: {
    type: 'gauge',
    help: 'Jobs that run or wait, by what they do, among the newest hundred.',
    labels: ['kind', 'state'],
  },
  entrepot_upstream_budget_limit: {
    type: 'gauge',
    help: 'Requests that an upstream allows in its window, by credential.',
    labels: ['upstream', 'credential'],
  },
  entrepot_upstream_budget_remaining: {
    type: 'gauge',
    help: 'Requests that are left of the window, by credential.',
    labels: ['upstream', 'credential'],
  },
  entrepot_upstream_next_attempt_timestamp_seconds: {
    type: 'gauge',
    help: 'When the upstream may be asked again; 0: now.',
    labels: ['upstream', 'credential'],
  },
  entrepot_upstream_last_error_timestamp_seconds: {
    type: 'gauge',
    help: 'When the upstream last failed; 0: not as far as is known.',
    labels: ['upstream', 'credential'],
  },
  entrepot_storage_bytes: {
    type: 'gauge',
    help: 'Bytes in storage of what is mirrored, by host, as last measured.',
    labels: ['host'],
  },
  entrepot_storage_target_bytes: {
    type: 'gauge',
    help: 'Bytes of what is mirrored above which some of it is removed.',
    labels: [],
  },
  entrepot_counting_since_timestamp_seconds: {
    type: 'gauge',
    help: 'When the counters of this deployment began at 0.',
    labels: [],
  },
} as const satisfies Readonly<Record<string, Metric>>

/** The name of a metric. */
export type MetricName = keyof typeof METRICS

/** Series by what they are called, labels included. */
export type Series = Readonly<Record<string, number>>

/** What a series is called; `values` are those of the metric's labels, in their order. */
export function seriesOf(name: MetricName, ...values: readonly string[]): string {
  const labels: readonly string[] = METRICS[name].labels
  if (labels.length !== values.length) throw new Error(`${name} has the labels ${labels.join()}`)
  if (labels.length === 0) return name
  const pairs = labels.map((label, index) => `${label}="${escape(values[index] ?? '')}"`)
  return `${name}{${pairs.join(',')}}`
}

/** Series as text. What is of no metric, from another version of this registry, is left out. */
export function formatSeries(series: Series): string {
  const lines = new Map<string, string[]>()
  for (const [called, value] of Object.entries(series)) {
    const name = called.split('{', 1)[0] ?? ''
    const known = lines.get(name)
    if (known === undefined) lines.set(name, [`${called} ${value}`])
    else known.push(`${called} ${value}`)
  }
  const shown = Object.entries(METRICS).flatMap(([name, { type, help }]) => {
    const own = lines.get(name)?.toSorted()
    return own === undefined ? [] : [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...own]
  })
  return shown.map((line) => `${line}\n`).join('')
}

function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
