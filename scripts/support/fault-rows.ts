// What the tests make of each F row: whether a name says it, which faults they declare (test/support/faults), and how
// often each happened in the last run of its file.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Happened, readRecords } from '../../test/support/faults/records.ts';
import {
  checkout,
  dotted,
  type Node,
  type Source,
  sourcesBelow,
  textOf,
  walk,
} from '../../test/tidy/support/sources.ts';

export interface Declared {
  readonly row: string;
  readonly what: string;
  /** Path from the checkout. */
  readonly file: string;
}

export interface FaultRow {
  readonly row: string;
  readonly isNamed: boolean;
  /** In the order of the sources; `times` is 0 where it never happened. */
  readonly faults: readonly { readonly what: string; readonly times: number }[];
}

interface Evidence {
  /** Every text of the tests, names among them. */
  readonly texts: string;
  readonly declared: readonly Declared[];
  readonly records: ReadonlyMap<string, readonly Happened[]>;
}

const isDeclaration = (call: Node): boolean => dotted(call['callee']) === 'injects';

const literal = (node: unknown): string => {
  const { type, value } = (node ?? {}) as Node & { readonly value?: unknown };
  return type === 'Literal' && typeof value === 'string' ? value : '';
};

/** Each `injects('F21', 'what')` of these sources; an argument that is not a literal is given as ''. */
export function declaredFaults(sources: readonly Source[]): readonly Declared[] {
  const declared: Declared[] = [];
  for (const { file, program } of sources)
    walk(program, (node) => {
      if (node.type !== 'CallExpression' || !isDeclaration(node)) return;
      const [row, what] = node['arguments'] as readonly unknown[];
      declared.push({ row: literal(row), what: literal(what), file });
    });
  return declared;
}

/** Every name of a test, one a line. */
export const textsOfTests = (): string => namesOfTests(sourcesBelow('test')).join('\n');

/**
 * The names in these sources: the text before the function of a call (`it`, `row` and what wraps them), and in tables
 * each text with a code at its front.
 */
export function namesOfTests(sources: readonly Source[]): readonly string[] {
  const names: string[] = [];
  for (const { program } of sources)
    walk(program, (node, around) => {
      const text = textIn(node);
      if (text === undefined) return;
      const outer = around.findLast(({ type }) => type !== 'TemplateLiteral');
      const isName = outer?.type === 'CallExpression' && takesFunction(outer);
      if (isName || (outer?.type === 'ArrayExpression' && /^[FIS]\d+\b/u.test(text))) names.push(text);
    });
  return names;
}

function textIn(node: Node): string | undefined {
  if (node.type === 'Literal' && typeof node['value'] === 'string') return node['value'];
  if (node.type !== 'TemplateElement') return undefined;
  return String((node['value'] as { readonly raw: string }).raw);
}

const takesFunction = (call: Node): boolean =>
  (call['arguments'] as readonly Node[]).some(({ type }) =>
    ['ArrowFunctionExpression', 'FunctionExpression'].includes(type),
  );

/** The rows of test/rows.txt, each with its code at the front. */
export const allRows = (): readonly string[] =>
  textOf('test/rows.txt')
    .split('\n')
    .filter((line) => /^[FIS]\d/u.test(line));

/** The code at the front of a row. */
export const codeOf = (row: string): string => row.split(' ', 1)[0] ?? '';

/** The F rows of this checkout, with what its last runs recorded. */
export function currentFaultRows(texts: string): readonly FaultRow[] {
  const records = [...readRecords()].filter(([file]) => existsSync(join(checkout, file)));
  return faultRows(
    allRows()
      .filter((row) => row.startsWith('F'))
      .map(codeOf),
    { texts, declared: declaredFaults(sourcesBelow('test')), records: new Map(records) },
  );
}

/** True when a text of a test has the word. */
export const isNamedIn = (texts: string, word: string): boolean =>
  new RegExp(`\\b${word}\\b`, 'u').test(texts);

/** @param rows codes, in their order */
export function faultRows(
  rows: readonly string[],
  { texts, declared, records }: Evidence,
): readonly FaultRow[] {
  const times = new Map<string, number>();
  const keyOf = ({ row, what }: Pick<Declared, 'row' | 'what'>): string => `${row} ${what}`;
  for (const one of [...records.values()].flat())
    times.set(keyOf(one), (times.get(keyOf(one)) ?? 0) + one.times);
  return rows.map((row) => {
    const whats = new Set(declared.filter((one) => one.row === row).map(({ what }) => what));
    return {
      row,
      isNamed: isNamedIn(texts, row),
      faults: [...whats].map((what) => ({ what, times: times.get(keyOf({ row, what })) ?? 0 })),
    };
  });
}

/** A row is covered when one of its faults happened: a name alone proves nothing. */
const isCovered = ({ faults }: FaultRow): boolean => faults.some(({ times }) => times > 0);

/** One line, e.g. `fault rows: 93; named 90, fault declared 40, fault happened 38; 2 of 61 faults never happened`. */
export function faultSummary(rows: readonly FaultRow[]): string {
  const count = (holds: (row: FaultRow) => boolean): number => rows.filter(holds).length;
  const all = rows.flatMap(({ faults }) => faults);
  const never = all.filter(({ times }) => times === 0).length;
  return `fault rows: ${rows.length}; named ${count((row) => row.isNamed)}, fault declared ${count(
    ({ faults }) => faults.length > 0,
  )}, fault happened ${count(isCovered)}; ${never} of ${all.length} declared faults never happened`;
}

/** The declared faults that never happened, as `F21 what`. */
export const neverHappened = (rows: readonly FaultRow[]): readonly string[] =>
  rows.flatMap(({ row, faults }) =>
    faults.flatMap(({ what, times }) => (times === 0 ? [`${row} ${what}`] : [])),
  );

const cell = (text: string): string => text.replaceAll('|', '\\|');

/** For docs/figures.md: a line for each declared fault, and for each row without one. */
export function faultTable(rows: readonly FaultRow[]): string {
  const lines = rows.flatMap(({ row, isNamed, faults }) =>
    faults.length === 0
      ? [`| ${row} | ${isNamed ? 'named by a test, no fault declared' : 'no test'} | |`]
      : faults.map(({ what, times }) => `| ${row} | ${cell(what)} | ${times === 0 ? 'never' : times} |`),
  );
  return ['| row | fault that a test declares | happened, times |', '|---|---|---|', ...lines].join('\n');
}
