// Names and sizes of files and functions.
import { describe, expect, it } from 'vitest';
import type { Node, Source } from './support/sources.ts';
import { dotted, filesBelow, sourceOf, sourcesBelow, textOf, walk } from './support/sources.ts';

const FILE_LINES = 400;
const FUNCTION_LINES = 60;
/** A statechart is read as one piece; beyond this a child machine is split off. */
const MACHINE_LINES = 600;

const everything = ['src', 'test', 'scripts'].flatMap(sourcesBelow);
/** Tables of data, which grow with what they list. */
const TABLES = new Set(['src/host/ffi/constants.ts']);

describe('files', () => {
  it('have names in kebab-case, with a dot before the kind', () => {
    const files = ['src', 'test', 'scripts', 'docs']
      .flatMap(filesBelow)
      .filter((file) => !file.startsWith('src/gen/') && /\.(ts|js|cjs|md)$/u.test(file));
    const plain = /^([a-z0-9]+(-[a-z0-9]+)*\.)+(ts|js|cjs|md)$/u;
    const directories = /^([a-z0-9]+(-[a-z0-9]+)*)$/u;
    const wrong = files.filter((file) => {
      const parts = file.split('/');
      const name = parts.pop() ?? '';
      return !(plain.test(name) || name === 'README.md') || !parts.every((part) => directories.test(part));
    });
    expect(wrong).toEqual([]);
  });

  it(`have at most ${FILE_LINES} lines, a machine ${MACHINE_LINES}`, () => {
    const wrong = everything
      .filter(({ file }) => !TABLES.has(file))
      .map(({ file, text }) => ({ file, lines: text.split('\n').length - 1 }))
      .filter(({ file, lines }) => lines > (file.endsWith('.machine.ts') ? MACHINE_LINES : FILE_LINES))
      .map(({ file, lines }) => `${file}: ${lines} lines`);
    expect(wrong).toEqual([]);
  });
});

const isFunction = (node: Node): boolean =>
  ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'].includes(node.type);

/** describe() and the like are given a list of tests, not a function in the sense of the rule. */
function isListOfTests(around: readonly Node[]): boolean {
  const call = around.at(-1);
  if (call?.type !== 'CallExpression') return false;
  const callee = call['callee'] as Node;
  // describe.each(rows)('name', …) calls what a call gave, as unless(describe, reason)('name', …) does
  const inner = callee.type === 'CallExpression' ? (callee['callee'] as Node) : callee;
  const isUnless = dotted(inner) === 'unless';
  const name = dotted(isUnless ? (callee['arguments'] as readonly Node[])[0] : inner);
  return name.split('.')[0]?.startsWith('describe') === true;
}

function longFunctions(source: Source): readonly string[] {
  const found: string[] = [];
  walk(source.program, (node, around) => {
    if (!isFunction(node) || isListOfTests(around)) return;
    const lines = source.line(node.end) - source.line(node.start) + 1;
    if (lines > FUNCTION_LINES) found.push(`${source.file}:${source.line(node.start)}: ${lines} lines`);
  });
  return found;
}

/** The formatter lays out code; it leaves comments as they are. Pictures and tables of a comment may be wider. */
const COMMENT_COLUMNS = 120;
const IN_A_PICTURE = /[─│┌┐└┘├┤┬┴┼→←↓|]/u;

describe('comments', () => {
  it(`have at most ${COMMENT_COLUMNS} columns`, () => {
    const long = everything.flatMap(({ file, text, comments, line }) => {
      const lines = text.split('\n');
      if (lines.every((whole) => whole.length <= COMMENT_COLUMNS)) return [];
      return comments.flatMap(({ value, start }) => {
        const first = line(start);
        return value.split('\n').flatMap((part, at) => {
          const whole = lines[first + at - 1] ?? '';
          const isLong = whole.length > COMMENT_COLUMNS && /^\s*(?:\/\/|\/?\*)/u.test(whole);
          return isLong && !IN_A_PICTURE.test(part) ? [`${file}:${first + at}`] : [];
        });
      });
    });
    expect(long).toEqual([]);
  });
});

describe('functions', () => {
  it(`have at most ${FUNCTION_LINES} lines, the tables of machines and effects excepted`, () => {
    const counted = everything.filter(({ file }) => !/^src\/actors\/.*\.(machine|effects)\.ts$/u.test(file));
    expect(counted.flatMap(longFunctions)).toEqual([]);
  });
});

describe('bounds', () => {
  // a comment may stand for a group: a pair of a first and a last value, three kinds of one thing
  const GROUP_LINES = 3;

  const files = filesBelow('src').filter((file) => file.endsWith('/bounds.ts'));
  const namesIn = (text: string): readonly string[] =>
    [...text.matchAll(/^ {2}(\w+):/gmu)].map((match) => match[1] ?? '');

  it('each has its unit and reason', () => {
    const bare = files.flatMap((file) => {
      const lines = textOf(file).split('\n');
      return lines.flatMap((line, at) => {
        const [name] = namesIn(line);
        if (name === undefined) return [];
        const above = lines.slice(Math.max(0, at - GROUP_LINES), at).toReversed();
        const comment = above.findIndex((other) => other.trim().endsWith('*/'));
        const onlyBoundsBetween =
          comment >= 0 && above.slice(0, comment).every((other) => /^ {2}\w+:/u.test(other));
        return onlyBoundsBetween ? [] : [`${file}:${at + 1}: ${name}`];
      });
    });
    expect(bare).toEqual([]);
  });

  it('are used, since an unused bound misleads', () => {
    const used = sourcesBelow('src')
      .filter(({ file }) => !files.includes(file))
      .map(({ text }) => text)
      .join('\n');
    const idle = files
      .flatMap((file) => namesIn(textOf(file)))
      .filter((name) => !new RegExp(`\\b${name}\\b`, 'u').test(used));
    expect(idle).toEqual([]);
  });

  it('import nothing, so that the whole room may import them', () => {
    expect(files.filter((file) => sourceOf(file).imports.length > 0)).toEqual([]);
  });
});
