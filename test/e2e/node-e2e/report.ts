// What a run of the suite came to, from ginkgo's JSON report.
import { type Spec, specsOf, totals } from '../critest/report.ts';
import type { Missing } from './missing.ts';

interface LeftOut {
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly State: string;
  readonly LeafNodeLocation?: { readonly FileName?: string };
}

/** What was asked for. */
export interface Asked {
  readonly focus: string;
  /** Empty for nothing. */
  readonly skip: string;
  /** Names of source files; empty for all. */
  readonly files: readonly string[];
}

/**
 * The specs that ran or skipped themselves, then those of the selection which were left out because something is
 * missing for them.
 */
export function nodeSpecs(report: string, asked: Asked, missing: readonly Missing[]): Spec[] {
  const specs = specsOf(report);
  const known = new Set(specs.map(({ name }) => name));
  const suites = JSON.parse(report) as readonly { readonly SpecReports: readonly LeftOut[] | null }[];
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    if (spec.State !== 'skipped' || spec.LeafNodeType !== 'It') continue;
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' ');
    const reason = missing.find((one) => one.specs.test(name))?.reason;
    if (
      reason === undefined ||
      known.has(name) ||
      !isAsked(name, spec.LeafNodeLocation?.FileName ?? '', asked)
    )
      continue;
    specs.push({ name, state: 'skipped', reason, seconds: 0 });
  }
  return specs.sort((a, b) => a.state.localeCompare(b.state) || a.name.localeCompare(b.name));
}

function isAsked(name: string, file: string, { focus, skip, files }: Asked): boolean {
  const isOfFiles = files.length === 0 || files.some((one) => file.endsWith(`/${one}`));
  return isOfFiles && new RegExp(focus).test(name) && (skip === '' || !new RegExp(skip).test(name));
}

/** A markdown table cell must not hold its own delimiter, nor what would be read as HTML. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** The block for docs/figures.md. */
export function figuresOf(specs: readonly Spec[], seconds: number, remark: string): string {
  const rows = specs
    .filter(({ state }) => state !== 'passed')
    .map((spec) => `| ${spec.state} | ${cell(spec.name)} | ${cell(spec.reason)} |`);
  const table = rows.length === 0 ? [] : ['', '| state | spec | reason |', '|---|---|---|', ...rows];
  return [`**${totals(specs)}** in ${seconds.toFixed(0)} s. ${remark}`, ...table].join('\n');
}
