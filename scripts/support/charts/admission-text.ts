// The table of admission as text: every combination of what a holder of a name can be, and which states make which
// phase.
import { decide } from '../../../src/actors/commands/admission.ts';
import type { Holder } from '../../../src/actors/commands/admission.ts';
import {
  containerPhase,
  HOLDER_PHASES,
  PHASE_OF_CONTAINER,
  PHASE_OF_SANDBOX,
  sandboxPhase,
} from '../../../src/actors/directory/phases.ts';
import { fault } from '../../../src/base/fault.ts';

const BOTH = [false, true] as const;

const namesOf = <K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] =>
  Object.keys(record) as K[];

/** Rows of equal columns. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_cell, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const COLUMNS = BOTH.flatMap((claimed) => BOTH.map((sameRequest) => ({ claimed, sameRequest })));
const columnName = ({ claimed, sameRequest }: (typeof COLUMNS)[number]): string =>
  `${claimed ? 'claimed' : 'unclaimed'}, ${sameRequest ? 'same' : 'other'} request`;

function decisions(kind: Holder['kind'], attempt: Holder['attempt']): string {
  const rows = HOLDER_PHASES.map((phase) => [
    phase,
    ...COLUMNS.map((column) => decide({ kind, phase, attempt, ...column })),
  ]);
  return `${kind}, ${attempt} attempt\n\n${table([['phase', ...COLUMNS.map(columnName)], ...rows])}`;
}

function sandboxPhases(): string {
  const columns = BOTH.flatMap((removal) =>
    BOTH.flatMap((ready) => BOTH.map((committed) => ({ removal, ready, committed }))),
  ).filter(({ removal, committed }) => committed || !removal);
  const rows = namesOf(PHASE_OF_SANDBOX).map((state) => [
    state,
    ...columns.map((column) => sandboxPhase({ state, ...column })),
  ]);
  const names = columns.map(
    ({ removal, ready, committed }) =>
      `${ready ? 'ready' : 'not ready'}, ${removal ? 'its removal asked for' : committed ? 'committed' : 'uncommitted'}`,
  );
  return `sandbox, phase of each state\n\n${table([['state', ...names], ...rows])}`;
}

function containerPhases(): string {
  const startFault = fault('outside', 'the start failed');
  const never = {
    criState: 'created',
    startedAtNs: undefined,
    startUnrecorded: false,
    startFault: undefined,
  } as const;
  const started = { ...never, criState: 'running', startedAtNs: 1n, committed: true } as const;
  const columns = [
    ['never started, uncommitted', { ...never, committed: false }],
    ['never started', { ...never, committed: true }],
    ['start failed', { ...never, committed: true, startFault }],
    ['no start recorded', { ...started, startUnrecorded: true }],
    ['started', started],
    ['started, exited', { ...started, criState: 'exited' }],
  ] as const;
  const rows = namesOf(PHASE_OF_CONTAINER).map((state) => [
    state,
    ...columns.map(([, facts]) => containerPhase({ state, ...facts })),
  ]);
  return `container, phase of each state\n\n${table([['state', ...columns.map(([name]) => name)], ...rows])}`;
}

/** The text of test/golden/admission/admission.txt. */
export function admissionText(): string {
  const head =
    'Admission: what a request does about an actor that has its name. Drawn by node scripts/charts.ts --write';
  const attempts = ['same', 'lower', 'higher'] as const;
  const parts = (['sandbox', 'container'] as const).flatMap((kind) =>
    attempts.map((attempt) => decisions(kind, attempt)),
  );
  return `${[head, ...parts, sandboxPhases(), containerPhases()].join('\n\n')}\n`;
}
