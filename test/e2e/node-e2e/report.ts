// What a run of the suite came to, from ginkgo's JSON report.
import { type Spec, specsOf, totals } from '../critest/report.ts';
import { WITHOUT_IMAGE } from './images.ts';

interface LeftOut {
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly State: string;
}

/**
 * The specs that ran or skipped themselves, then those of the selection which were left out for want of an image.
 * @param skip what the selection itself left out
 */
export function nodeSpecs(report: string, focus: RegExp, skip: string): Spec[] {
  const specs = specsOf(report);
  const known = new Set(specs.map(({ name }) => name));
  const suites = JSON.parse(report) as readonly { readonly SpecReports: readonly LeftOut[] | null }[];
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    if (spec.State !== 'skipped' || spec.LeafNodeType !== 'It') continue;
    const name = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' ');
    const reason = WITHOUT_IMAGE.find((one) => one.specs.test(name))?.reason;
    if (reason === undefined || known.has(name) || !focus.test(name) || (skip !== '' && new RegExp(skip).test(name))) continue;
    specs.push({ name, state: 'skipped', reason, seconds: 0 });
  }
  return specs.sort((a, b) => a.state.localeCompare(b.state) || a.name.localeCompare(b.name));
}

/** A markdown table cell must not hold its own delimiter, nor what would be read as HTML. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

/** The block for docs/figures.md. */
export function figuresOf(specs: readonly Spec[], seconds: number, remark: string): string {
  const rows = specs.filter(({ state }) => state !== 'passed').map((spec) => `| ${spec.state} | ${cell(spec.name)} | ${cell(spec.reason)} |`);
  const table = rows.length === 0 ? [] : ['', '| state | spec | reason |', '|---|---|---|', ...rows];
  return [`**${totals(specs)}** in ${seconds.toFixed(0)} s. ${remark}`, ...table].join('\n');
}
