/** `troupe why` and `troupe history`: one actor on one screen, or its whole remembered history. */
import { cliLimits } from '../bounds.ts';
import { plainOf } from '../../introspection/client.ts';
import type { Actor, Change, ExplainResponse, Wait } from '../../gen/introspection/v1/introspection_pb.ts';
import {
  changeText,
  exitText,
  leftUntil,
  nameOf,
  processStateWord,
  pullText,
  summary,
  titleOf,
  toneOf,
} from './actor-text.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import type { Screen, Tone } from './screen.ts';
import { age, dateAndTime, fit, timeOfDay } from './text.ts';
import { changeLines } from './watch.ts';

export async function why(command: Command): Promise<number> {
  const answer = await command.client.explain({ query: command.line.words[0] ?? '' });
  if (command.json) writeJson(command.screen, plainOf(answer));
  else for (const text of whyLines(answer, command.clock.nowNs(), command.screen)) command.screen.line(text);
  return EXIT.ok;
}

export async function history(command: Command): Promise<number> {
  const answer = await command.client.explain({ query: command.line.words[0] ?? '' });
  const { screen } = command;
  if (command.json)
    writeJson(screen, { address: answer.actor?.address ?? '', history: plainOf(answer.history) });
  else
    for (const change of answer.history)
      for (const text of changeLines(`${dateAndTime(change.atNs)}  `, change, screen)) screen.line(text);
  return EXIT.ok;
}

/** The screen for one actor. */
export function whyLines(answer: ExplainResponse, nowNs: bigint, screen: Screen): readonly string[] {
  const { actor, history, related, sentence } = answer;
  if (actor === undefined) return [];
  const lines = [
    screen.tone('strong', titleOf(actor)),
    ...wrap('why', sentence, screen, 'strong'),
    ...stateLines(actor, sentence, nowNs, screen),
    ...actor.waits.flatMap((wait) => waitLines(wait, nowNs, screen)),
    ...historyLines(history, nowNs, screen),
    ...relatedLines(actor, related, nowNs, screen),
  ];
  return lines;
}

function stateLines(actor: Actor, sentence: string, nowNs: bigint, screen: Screen): readonly string[] {
  const entry = (name: string, value: string, tone?: Parameters<Screen['tone']>[0]): string => {
    const text = fit(value, screen.columns - 12);
    return `  ${name.padEnd(10)}${tone === undefined ? text : screen.tone(tone, text)}`;
  };
  const since =
    actor.sinceNs === 0n ? '' : ` for ${age(nowNs - actor.sinceNs)}, since ${timeOfDay(actor.sinceNs)}`;
  const lines = [entry('state', `${actor.state}${since}`, toneOf(actor)), entry('id', actor.id)];
  if (actor.removedNs !== 0n)
    lines.push(entry('removed', `${age(nowNs - actor.removedNs)} ago, at ${timeOfDay(actor.removedNs)}`));
  else if (actor.settled && actor.waits.length === 0) lines.push(entry('waits', 'on nothing: it is settled'));
  const progress = pullText(actor);
  if (progress !== '') lines.push(entry('loaded', progress));
  if (actor.pid !== 0n) lines.push(entry('pid', String(actor.pid)));
  if (actor.hasExited) lines.push(entry('ended', exitText(actor)));
  if (actor.debts.length > 0)
    lines.push(entry('cleanup', `${actor.debts.join(', ')}: pending, tried again`, 'bad'));
  // mostly the sentence quotes it
  if (!sentence.includes(actor.fault)) lines.push(...wrap('fault', actor.fault, screen));
  if (!actor.listed && actor.removedNs === 0n && actor.kind !== 'pull')
    lines.push(entry('listed', 'no: clients do not see it'));
  return lines;
}

/** Wraps a reason and never cuts it: it is the answer to the question. */
function wrap(name: string, text: string, screen: Screen, tone: Tone = 'bad'): readonly string[] {
  const width = screen.columns - 12;
  const lines: string[] = [];
  for (let rest = fit(text, Number.MAX_SAFE_INTEGER); rest !== '';) {
    const space = rest.length <= width ? rest.length : rest.lastIndexOf(' ', width);
    const cut = space <= 0 ? width : space;
    lines.push(rest.slice(0, cut));
    rest = rest.slice(cut).trimStart();
  }
  return lines.map((line, at) => `  ${(at === 0 ? name : '').padEnd(10)}${screen.tone(tone, line)}`);
}

function waitLines(wait: Wait, nowNs: bigint, screen: Screen): readonly string[] {
  const { columns } = screen;
  const head = `  waits on  ${fit(wait.on === '' ? wait.effect : `${wait.on} (${wait.effect})`, columns - 12)}`;
  const lines = [
    screen.tone('busy', head),
    `            for ${age(nowNs - wait.sinceNs)}, until ${timeOfDay(wait.deadlineNs)} (${leftUntil(wait, nowNs)})`,
  ];
  if (wait.pid !== 0n) lines.push(`            pid ${wait.pid}, ${processStateWord(wait.processState)}`);
  if (wait.argv.length > 0) lines.push(`            ${fit(wait.argv.map(shown).join(' '), columns - 12)}`);
  lines.push(...stackLines(wait.kernelStack, screen));
  // the last process is the one that hangs: those above it wait for it
  for (const { pid, name, state } of wait.below)
    lines.push(`            └─ ${fit(`pid ${pid} ${name}, ${processStateWord(state)}`, columns - 15)}`);
  lines.push(...stackLines(wait.below.at(-1)?.kernelStack ?? '', screen));
  return lines;
}

function stackLines(stack: string, screen: Screen): readonly string[] {
  const frames = stack.split('\n').filter((frame) => frame !== '');
  return frames
    .slice(0, cliLimits.stackLines)
    .map((frame) => screen.tone('dim', `            ${fit(frame, screen.columns - 12)}`));
}

/** Quotes a word unless a shell would read it unchanged. */
function shown(word: string): string {
  return /^[\w@%+=:,./-]+$/u.test(word) ? word : JSON.stringify(word);
}

function historyLines(history: readonly Change[], nowNs: bigint, screen: Screen): readonly string[] {
  if (history.length === 0) return [];
  const last = history.slice(-cliLimits.historyShown);
  const more = history.length - last.length;
  const head = more === 0 ? '  before' : `  before    ${more} more: troupe history`;
  return [
    screen.tone('dim', head),
    ...last.map((change) => {
      const ago = `${age(nowNs - change.atNs)} ago`.padStart(10);
      return fitTone(screen, `${ago}  ${changeText(change)}`);
    }),
  ];
}

function fitTone(screen: Screen, text: string): string {
  const lead = /^ */u.exec(text)?.[0] ?? '';
  return `  ${lead}${fit(text.slice(lead.length), screen.columns - 2 - lead.length)}`;
}

function relatedLines(
  actor: Actor,
  related: readonly Actor[],
  nowNs: bigint,
  screen: Screen,
): readonly string[] {
  if (related.length === 0) return [];
  const shownOnes = related.slice(0, cliLimits.relatedShown);
  const more = related.length - shownOnes.length;
  return [
    screen.tone('dim', actor.kind === 'sandbox' ? '  containers' : '  pod'),
    ...shownOnes.map((other) => {
      const what = summary(other, nowNs);
      return `    ${screen.tone(toneOf(other), fit(`${nameOf(other)}: ${other.state}${what === '' ? '' : `, ${what}`}`, screen.columns - 4))}`;
    }),
    ...(more > 0 ? [`    and ${more} more: troupe ps`] : []),
  ];
}
