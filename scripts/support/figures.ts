// docs/figures.md: what long runs printed last, with commit and date. Each kind of run owns the block between its two
// markers and leaves the rest alone.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from './checkout.ts';
import { gitIn } from './git.ts';

const FILE = join(checkout, 'docs/figures.md');
const HEAD = '# Figures\n\nThe last result of each long run, written by the run itself.\n';

/** Puts a block in place of the one with the same name, or at the end. */
export function withBlock(text: string, name: string, block: string): string {
  const begin = `<!-- ${name}: begin -->`;
  const end = `<!-- ${name}: end -->`;
  const whole = `${begin}\n${block.trim()}\n${end}`;
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) return `${(text === '' ? HEAD : text).trimEnd()}\n\n${whole}\n`;
  return text.slice(0, from) + whole + text.slice(to + end.length);
}

/** The text of the block of this name; empty without one. */
export function blockOf(text: string, name: string): string {
  const begin = `<!-- ${name}: begin -->`;
  const [from, to] = [text.indexOf(begin), text.indexOf(`<!-- ${name}: end -->`)];
  return from === -1 || to < from ? '' : text.slice(from + begin.length, to).trim();
}

/** docs/figures.md as it is. */
export function readFigures(): string {
  return readFileSync(FILE, 'utf8');
}

/** Short commit, with a plus when files differ from it, and the day. A guest has no git, but a variable. */
export function commitAndDate(): string {
  const given = process.env['TROUPE_COMMIT'];
  const day = new Date().toISOString().slice(0, 10);
  if (given !== undefined) return `commit ${given}, ${day}`;
  const isChanged = gitIn(checkout, 'status', '--porcelain', '--', 'src', 'bin', 'package-lock.json') !== '';
  return `commit ${gitIn(checkout, 'rev-parse', '--short', 'HEAD')}${isChanged ? ' + changes' : ''}, ${day}`;
}

/**
 * Writes the block of this name into docs/figures.md.
 * @param title heading of the block
 * @param body markdown
 * @param made commit and day of the run, where it is not the checkout's of now
 */
export function writeFigures(name: string, title: string, body: string, made = commitAndDate()): void {
  let text = '';
  try {
    text = readFigures();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  writeFileSync(FILE, withBlock(text, name, `## ${title}\n\n${made}\n\n${body.trim()}`));
}
