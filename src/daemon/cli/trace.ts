/** `troupe trace`: where the time of a start or stop went, as a waterfall; and the slowest calls and effects. */
import { fail } from '../../base/fault.ts';
import { plainOf } from '../../introspection/client.ts';
import { answerTrace, recordingOf } from '../../introspection/flight/answer.ts';
import type { Slow } from '../../introspection/flight/slowest.ts';
import type { Episode, WaterfallRow } from '../../introspection/flight/waterfall.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { readRecording } from './read-recording.ts';
import type { Screen, Tone } from './screen.ts';
import { fit, table, timeOfDay } from './text.ts';

/** Columns of the two figures before a name, and of a bar at most. */
const FIGURES = 20;
const BAR_MOST = 60;

/** A recording's and a message's words for kinds are both strings. */
type ShownRow = Omit<WaterfallRow, 'kind' | 'on'> & { readonly kind: string; readonly on: string };
type ShownEpisode = Omit<Episode, 'rows'> & { readonly rows: readonly ShownRow[] };
type ShownSlow = Omit<Slow, 'kind'> & { readonly kind: string };

interface Answer {
  readonly episodes: readonly ShownEpisode[];
  readonly slowest: readonly ShownSlow[];
  readonly oldestNs: bigint;
}

export async function trace(command: Command): Promise<number> {
  const { json, screen } = command;
  const answer = await answerOf(command);
  if (json) writeJson(screen, plainOf(answer));
  else {
    for (const text of slowestLines(answer, screen)) screen.line(text);
    for (const [at, episode] of answer.episodes.entries()) {
      if (at > 0) screen.line('');
      for (const text of episodeLines(episode, screen)) screen.line(text);
    }
  }
  return EXIT.ok;
}

/** Of the running daemon, or with --file of a support bundle or a directory of segments. */
async function answerOf({ client, line }: Command): Promise<Answer> {
  const [query = ''] = line.words;
  const question = { query, slowest: line.flags.has('slowest') };
  if (query === '' && !question.slowest)
    fail('invalidRequest', 'expected one pod, container, id or call; see troupe help trace');
  const { file } = line.options;
  if (file === undefined) return client.trace(question);
  const answer = answerTrace(recordingOf((await readRecording(file)).entries), question);
  if (answer.episodes.length === 0 && !question.slowest) fail('notFound', `${query}: not found in ${file}`);
  return answer;
}

const figure = (ms: number): string => ms.toFixed(1).padStart(8);

/** The lines of one waterfall. */
export function episodeLines(
  { title, startNs, totalMs, rows, left }: ShownEpisode,
  screen: Screen,
): readonly string[] {
  const labels = rows.map(labelOf);
  // in a pipe the width has no bound
  const width = Math.min(screen.columns, 160);
  const longest = labels.reduce((most, label) => Math.max(most, label.length), 0);
  const bar = Math.min(BAR_MOST, Math.max(10, Math.floor((width - FIGURES) / 3)));
  const name = Math.max(10, Math.min(longest, width - FIGURES - bar - 2));
  return [
    screen.tone('strong', `${title}: ${totalMs.toFixed(1)} ms from ${timeOfDay(startNs)}`),
    screen.tone('dim', `${'at ms'.padStart(8)} ${'for ms'.padStart(8)}`),
    ...rows.map((row, at) => {
      const figures = `${figure(row.startMs)} ${figure(row.endMs - row.startMs)}  `;
      const label = labels[at] ?? '';
      const cut = label.length > name ? `${label.slice(0, name - 1)}…` : label.padEnd(name);
      const text = `${figures}${cut} |${barOf(row, totalMs, bar)}`;
      return screen.tone(toneOf(row), text);
    }),
    ...(left === 0 ? [] : [screen.tone('dim', `${left} more rows`)]),
  ];
}

function labelOf({ kind, depth, name, outcome, on }: ShownRow): string {
  const shown = kind === 'client' ? '(the client waits)' : name;
  const extra = [on, outcome === 'ok' ? '' : outcome].filter((word) => word !== '').join(', ');
  return `${'  '.repeat(depth)}${shown}${extra === '' ? '' : ` [${extra}]`}`;
}

/** Calls are drawn with `=`, the client's pauses with `.`, states with `-`, effects with `#`, waits with `~`. */
const STROKES: Readonly<Record<string, string>> = {
  call: '=',
  client: '.',
  state: '-',
  effect: '#',
  wait: '~',
};

function barOf({ kind, startMs, endMs }: ShownRow, totalMs: number, width: number): string {
  const column = (ms: number): number =>
    totalMs <= 0 ? 0 : Math.max(0, Math.min(width, Math.round((ms / totalMs) * width)));
  const from = Math.min(column(startMs), width - 1);
  return `${' '.repeat(from)}${(STROKES[kind] ?? '#').repeat(Math.max(1, column(endMs) - from))}`;
}

function toneOf({ kind, outcome }: ShownRow): Tone {
  if (outcome === 'running') return 'busy';
  if (outcome !== '' && outcome !== 'ok') return 'bad';
  return kind === 'call' ? 'strong' : kind === 'effect' ? 'good' : 'dim';
}

function slowestLines({ slowest, oldestNs }: Answer, screen: Screen): readonly string[] {
  if (slowest.length === 0) return [];
  const rows = slowestTable(slowest, screen);
  return [...rows, screen.tone('dim', `recorded since ${timeOfDay(oldestNs)}`)];
}

function slowestTable(slow: readonly ShownSlow[], screen: Screen): readonly string[] {
  return table(
    [
      { title: 'KIND' },
      { title: 'NAME' },
      { title: 'MS' },
      { title: 'AT' },
      { title: 'OF', least: 12 },
      { title: 'OUTCOME' },
      { title: 'REQUEST' },
    ],
    slow.map(({ kind, name, ms, startNs, title, outcome, requestId }) => [
      kind,
      name,
      ms.toFixed(1),
      timeOfDay(startNs),
      fit(title, screen.columns),
      outcome,
      requestId,
    ]),
    screen.columns,
  );
}
