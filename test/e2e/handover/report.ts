// What a run of take-overs prints.
import { availableParallelism, loadavg } from 'node:os';
import { quantile } from '../../bench/stats.ts';
import { NOTED_MS, type ListedCalls } from './lists.ts';
import type { HandoverOptions, HandoverResult, TakeOverTimes } from './handover.ts';

/** Most ms that a list may wait. */
const LIST_MS = 300;
/** ms after the beginning of the new daemon's service that count as the take-over's: its clients connect anew. */
const AFTER_MS = 2000;
/** Lines of each kind of failure that are printed. */
const SHOWN = 10;

/** Markdown. */
export function handoverText(options: HandoverOptions, result: HandoverResult): string {
  const { tally, sessions, lists, events } = result;
  const rows: readonly (readonly [string, string | number])[] = [
    ['calls', `${tally.calls}, of them ${tally.execs} ExecSync; ${tally.pods} pods made and removed`],
    ['**failed calls**', tally.failed.length],
    ...(options.isKilled ? ([['asked again after a kill', tally.again]] as const) : []),
    [
      'sessions',
      `${sessions.ended} whole, ${(sessions.bytes / 2 ** 30).toFixed(2)} GiB in both directions` +
        (options.isKilled ? `; ${sessions.killed} ended with the killed daemon that held them` : ''),
    ],
    ['**broken sessions**', sessions.broken.length + result.broken.length],
    ...(options.isKilled ? killRows(result) : stepRows(result, events)),
    ...listRows(options, result),
    ['the measuring process itself stood still', `${whole(lists.stallMs)} ms at most`],
    ['load average of the machine', `${loadavg()[1]?.toFixed(1)} on ${availableParallelism()} cores`],
    ['lost', result.lost.length],
    ['left on the machine', result.leftovers.length],
  ];
  return [
    `${options.takeOvers} take-overs${options.isKilled ? `, in each a SIGKILL (seed ${options.seed})` : ''}: ` +
      `${options.clients} clients that make, list, stop and remove pods, ${options.execsPerSecond} ExecSync a second, ` +
      `${options.sessions} sessions of \`crictl exec\` that live through ${options.span} take-overs each, ` +
      `a port-forward of ${whole(options.forwardBytes / 2 ** 20)} MiB, ${options.pods} pods that stay.`,
    '',
    '| what | figure |',
    '|---|---|',
    ...rows.map(([what, figure]) => `| ${what} | ${figure} |`),
    ...problemsOf(options, result).flatMap((line, at) => (at === 0 ? ['', `- ${line}`] : [`- ${line}`])),
  ].join('\n');
}

/** What makes the run a failure. */
export function problemsOf(options: HandoverOptions, result: HandoverResult): readonly string[] {
  const { tally, sessions, lists, broken, lost, leftovers } = result;
  const late = options.isKilled
    ? []
    : [...lists.connected.long, ...lists.anew.long].flatMap(({ atMs, ms }) => {
        const phase = phaseOf(atMs, ms, result.times);
        return ms > LIST_MS && phase !== '' ? [`a list took ${whole(ms)} ms ${phase}`] : [];
      });
  return [
    tally.failed,
    sessions.broken,
    broken,
    lists.connected.failed,
    lists.anew.failed,
    late,
    lost,
    leftovers,
  ].flatMap((lines) => lines.slice(0, SHOWN));
}

/** Without kills, the lists in take-overs have a row of their own: the machine delays the others. */
function listRows(
  { isKilled }: HandoverOptions,
  { lists, times }: HandoverResult,
): readonly (readonly [string, string])[] {
  const longest = ({ long }: ListedCalls, isIn: boolean): string => {
    const found = long.filter(({ atMs, ms }) => (phaseOf(atMs, ms, times) !== '') === isIn);
    return found.length === 0 ? `less than ${NOTED_MS}` : whole(Math.max(...found.map(({ ms }) => ms)));
  };
  const row = (what: string, isIn: boolean): readonly [string, string] => [
    what,
    `${longest(lists.connected, isIn)} ms over one connection, ${longest(lists.anew, isIn)} ms over new ones`,
  ];
  const counts = `${lists.connected.count} and ${lists.anew.count} lists`;
  return isKilled
    ? [row(`longest list, ${counts}`, false)]
    : [row(`**longest list in a take-over**`, true), row(`longest list otherwise, of ${counts}`, false)];
}

function stepRows({ times }: HandoverResult, events: number): readonly (readonly [string, string])[] {
  const row = (what: string, ms: (one: TakeOverTimes) => number): readonly [string, string] => {
    const values = times.map(ms);
    return [
      what,
      `p50 ${whole(quantile(values, 0.5))} ms, p99 ${whole(quantile(values, 0.99))} ms, ${whole(Math.max(...values))} ms at most`,
    ];
  };
  return [
    ['events', `${events} by \`crictl events\`, of each pod and container each once and in order`],
    row('frozen', (one) => one.servesMs - one.freezesMs),
    row('of it: effects end', (one) => one.releasedMs - one.freezesMs),
    row('of it: recovery', (one) => one.servesMs - one.releasedMs),
    row('the new program starts, before that', (one) => one.freezesMs - one.startedMs),
  ];
}

function killRows({ kills }: HandoverResult): readonly (readonly [string, string])[] {
  const back = kills.map(({ backMs }) => backMs);
  return [
    [
      'killed',
      `${kills.filter(({ victim }) => victim === 'new daemon').length} times the new daemon, ` +
        `${kills.filter(({ victim }) => victim === 'former daemon').length} times the former one`,
    ],
    [
      'until one serves again',
      `p50 ${whole(quantile(back, 0.5))} ms, ${whole(Math.max(...back))} ms at most`,
    ],
  ];
}

/** Where in a take-over a list was; '' where it was in none. */
function phaseOf(atMs: number, ms: number, times: readonly TakeOverTimes[]): string {
  const at = times.findIndex(
    ({ startedMs, servesMs }) => atMs + ms > startedMs && atMs < servesMs + AFTER_MS,
  );
  const one = times[at];
  if (one === undefined) return '';
  const serves = one.servesMs - one.releasedMs;
  return `in take-over ${at + 1}: from ${whole(atMs - one.releasedMs)} ms of the lock's release, and ${serves} ms of it the new daemon serves`;
}

const whole = (value: number): string => value.toFixed(0);
