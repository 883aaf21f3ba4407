/** Rounds → figures → the table. */
import type { SideName } from './child.ts';
import type { Round } from './drive.ts';
import { areaOf, type ProfileLine } from './profile.ts';
import type { Scenario } from './scenarios.ts';
import { median } from './stats.ts';

export type Rounds = Partial<Record<SideName, Round[]>>;

/** One figure that has an aim, or that is worth reading beside one. */
export interface Figure {
  scenario: string;
  title: string;
  what: string;
  unit: string;
  warren: number;
  bare?: number | undefined;
  /** warren ÷ bare, the median over pairs of neighbouring rounds, and how far these spread. */
  ratio?: { median: number; least: number; most: number } | undefined;
  /** bare with gathered acks and noDelay ÷ bare. */
  floor?: number | undefined;
  aim?: string | undefined;
  met?: boolean | undefined;
}

export function figuresOf(scenario: Scenario, rounds: Rounds): Figure[] {
  const make = (what: string, unit: string, of: (round: Round) => number | undefined) =>
    figure(scenario, rounds, { what, unit, of });
  const cost = aimed(
    make('client CPU', 'µs/job', (round) => round.cpuMicros / round.jobs),
    scenario.aims.cpu,
    'cpu',
  );
  const memory = [make('RSS', 'MB', ({ rss }) => rss / 1e6), make('heap', 'MB', ({ heap }) => heap / 1e6)];
  switch (scenario.kind) {
    case 'latency':
      return [
        make('p50', 'ms', ({ p50 }) => p50),
        aimed(
          make('p99', 'ms', ({ p99 }) => p99),
          scenario.aims.p99Over,
          'p99Over',
        ),
        cost,
        ...memory,
      ];
    case 'lateness':
      return [
        make('p50', 'ms late', ({ p50 }) => p50),
        aimed(
          make('p99', 'ms late', ({ p99 }) => p99),
          scenario.aims.p99,
          'p99',
        ),
      ];
    case 'memory':
      return [
        aimed(
          make('growth', 'bytes/job', ({ growthPerJob }) => growthPerJob),
          scenario.aims.growth,
          'growth',
        ),
        make('RSS after 20 %', 'MB', (round) => rssAt(round, 0.2)),
        make('RSS at the end', 'MB', (round) => rssAt(round, 1)),
      ];
    default:
      return [
        aimed(
          make('throughput', 'jobs/s', ({ jobs, seconds }) => jobs / seconds),
          scenario.aims.throughput,
          'throughput',
        ),
        cost,
        ...memory,
      ];
  }
}

interface Wanted {
  what: string;
  unit: string;
  of(round: Round): number | undefined;
}

function figure({ name, title }: Scenario, rounds: Rounds, { what, unit, of }: Wanted): Figure {
  const values = (side: SideName) => rounds[side]?.map((round) => of(round) ?? Number.NaN);
  const [warren = [], bare, floor] = [values('warren'), values('bare'), values('floor')];
  const ratios = bare?.map((value, at) => (warren[at] ?? Number.NaN) / value);
  return {
    scenario: name,
    title,
    what,
    unit,
    warren: median(warren),
    bare: bare && median(bare),
    ratio: ratios && { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) },
    floor: bare && floor && median(floor.map((value, at) => value / (bare[at] ?? Number.NaN))),
  };
}

type AimKind = keyof Scenario['aims'];

function aimed(figure: Figure, limit: number | undefined, kind: AimKind): Figure {
  if (limit === undefined) return figure;
  const { warren, bare = Number.NaN, ratio } = figure;
  switch (kind) {
    case 'throughput':
      return { ...figure, aim: `≥ ${limit} ×`, met: (ratio?.median ?? 0) >= limit };
    case 'cpu':
      return { ...figure, aim: `≤ ${limit} ×`, met: (ratio?.median ?? Number.POSITIVE_INFINITY) <= limit };
    case 'p99Over':
      return { ...figure, aim: `≤ bare + ${limit}`, met: warren - bare <= limit };
    default:
      return { ...figure, aim: `≤ ${limit}`, met: warren <= limit };
  }
}

function rssAt({ samples = [] }: Round, share: number): number {
  const at = Math.max(0, Math.ceil(samples.length * share) - 1);
  return (samples[at]?.rss ?? Number.NaN) / 1e6;
}

const HEAD = ['', '', 'warren', 'bare', 'unit', 'ratio', '(spread)', 'floor', 'aim', ''];

export function table(figures: readonly Figure[]): string {
  let last = '';
  const rows = figures.map((figure) => {
    const title = figure.title === last ? '' : figure.title;
    last = figure.title;
    return [title, ...cells(figure)];
  });
  return aligned([HEAD, ...rows]);
}

function cells({ what, unit, warren, bare, ratio, floor, aim, met }: Figure): string[] {
  return [
    what,
    number(warren),
    bare === undefined ? '' : number(bare),
    unit,
    ratio ? `${ratio.median.toFixed(2)} ×` : '',
    ratio && ratio.least !== ratio.most ? `(${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)})` : '',
    floor === undefined ? '' : `${floor.toFixed(2)} ×`,
    aim ?? '',
    met === undefined ? '' : met ? 'met' : 'MISSED',
  ];
}

const NUMBERS_AT = new Set([2, 3, 5, 6, 7]);

function aligned(rows: readonly string[][]): string {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const pad = (text: string, column: number) =>
    NUMBERS_AT.has(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

function number(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const LINES_SHOWN = 45;

/** Self time by area and by function, in µs a job. */
export function profileTable(lines: readonly ProfileLine[], jobs: number): string {
  const perJob = (micros: number) => (micros / jobs).toFixed(2).padStart(8);
  const areas = new Map<string, number>();
  for (const { name, selfMicros } of lines)
    areas.set(areaOf(name), (areas.get(areaOf(name)) ?? 0) + selfMicros);
  const total = lines.reduce((sum, { selfMicros }) => sum + selfMicros, 0);
  return [
    `${perJob(total)}  µs/job in all, by the sampling profiler`,
    '',
    ...[...areas].sort((a, b) => b[1] - a[1]).map(([area, micros]) => `${perJob(micros)}  ${area}`),
    '',
    ...lines.slice(0, LINES_SHOWN).map(({ name, selfMicros }) => `${perJob(selfMicros)}  ${name}`),
  ].join('\n');
}
