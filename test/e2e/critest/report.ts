// What a run of critest came to, from ginkgo's JSON report.

/** One spec that counts. */
export interface Spec {
  readonly name: string;
  readonly state: 'passed' | 'failed' | 'skipped';
  /** Why it failed or was skipped, on one line. */
  readonly reason: string;
  readonly seconds: number;
}

interface GinkgoSpec {
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly State: string;
  /** Nanoseconds. */
  readonly RunTime: number;
  readonly Failure?: { readonly Message?: string };
}

/** Characters of a reason: enough for gomega's first sentences. */
const REASON_LENGTH = 300;

const oneLine = (text: string): string => {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > REASON_LENGTH ? `${line.slice(0, REASON_LENGTH)}…` : line;
};

/**
 * The specs that count: neither benchmarks nor those which the focus left out. A spec is skipped when it says so
 * itself; whatever else didn't pass (panicked, timed out, interrupted) has failed. A failed set-up of the suite is
 * listed as a spec.
 */
export function specsOf(report: string): Spec[] {
  const suites = JSON.parse(report) as readonly { readonly SpecReports: readonly GinkgoSpec[] | null }[];
  const specs: Spec[] = [];
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText || spec.LeafNodeType]
      .join(' ')
      .replaceAll('[k8s.io] ', '');
    const reason = oneLine(spec.Failure?.Message ?? '');
    const isSpec = spec.LeafNodeType === 'It';
    const isLeftOut = spec.State === 'skipped' && reason === '';
    if (isLeftOut || name.includes('benchmark') || (!isSpec && spec.State === 'passed')) continue;
    const state = spec.State === 'passed' || spec.State === 'skipped' ? spec.State : 'failed';
    const why = state === 'failed' && spec.State !== 'failed' ? `${spec.State}: ${reason}` : reason;
    specs.push({ name, state, reason: why, seconds: spec.RunTime / 1e9 });
  }
  return specs;
}

const countOf = (specs: readonly Spec[], state: Spec['state']): number =>
  specs.filter((spec) => spec.state === state).length;

/** `N passed, N failed, N skipped of N`. */
export const totals = (specs: readonly Spec[]): string =>
  `${countOf(specs, 'passed')} passed, ${countOf(specs, 'failed')} failed, ${countOf(specs, 'skipped')} skipped of ${specs.length}`;

/** The reason of each skipped spec. */
export const skippedIn = (specs: readonly Spec[]): readonly string[] =>
  specs.filter(({ state }) => state === 'skipped').map(({ reason }) => reason);

/** A markdown table cell must not hold its own delimiter, nor what would be read as HTML. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** The block for docs/figures.md: the counts, then a row per spec that failed or was skipped, with its reason. */
export function figuresOf(specs: readonly Spec[], seconds: number, remarks: readonly string[]): string {
  const rows = specs
    .filter((spec) => spec.state !== 'passed')
    .sort((a, b) => a.state.localeCompare(b.state) || a.name.localeCompare(b.name))
    .map((spec) => `| ${spec.state} | ${cell(spec.name)} | ${cell(spec.reason)} |`);
  const table = rows.length === 0 ? [] : ['', '| state | spec | reason |', '|---|---|---|', ...rows];
  return [
    `**${totals(specs)}** in ${seconds.toFixed(0)} s (the 5 benchmarks apart).`,
    ...remarks,
    ...table,
  ].join('\n');
}
