// Finds code that stands in two places: the same tokens, with the same names, whatever the comments and the layout.
import type { Node, Source } from './sources.ts';

/** Lines `from` to `to` of one file, both included. */
interface Place {
  readonly file: string;
  readonly from: number;
  readonly to: number;
}

export interface Clone {
  readonly one: Place;
  readonly other: Place;
  readonly lines: number;
}

/** Tokens of all files, one after the other; a file's end matches nothing. */
interface Tokens {
  readonly ids: readonly number[];
  readonly lines: readonly number[];
  /** For each token the index of its file. */
  readonly files: readonly number[];
}

/** Tokens that are compared at once; no part of the code with more than twelve lines has fewer. */
const WINDOW = 24;
const TOKEN = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[\p{L}\p{N}_$#]+|\s+|./gsu;

/**
 * The longest parts that two places share, of more than `most` lines in each. Imports and comments are not compared.
 */
export function clonesOf(sources: readonly Source[], most: number): readonly Clone[] {
  const tokens = tokensOf(sources);
  const { ids } = tokens;
  const clones: Clone[] = [];
  const known = new Map<number, number[]>();
  for (let at = 0; at + WINDOW <= ids.length; at += 1) {
    const hash = hashOf(ids, at);
    const before = known.get(hash);
    if (before === undefined) known.set(hash, [at]);
    else {
      for (const other of before) {
        // only from the place where a shared part begins
        if (ids[other - 1] === ids[at - 1]) continue;
        const clone = grown(sources, tokens, other, at);
        if (clone.lines > most) clones.push(clone);
      }
      before.push(at);
    }
  }
  return clones;
}

function tokensOf(sources: readonly Source[]): Tokens {
  const numbers = new Map<string, number>();
  const [ids, lines, files]: [number[], number[], number[]] = [[], [], []];
  const add = (id: number, line: number, file: number): void => {
    ids.push(id);
    lines.push(line);
    files.push(file);
  };
  for (const [file, source] of sources.entries()) {
    let line = 1;
    for (const [token] of codeOf(source).matchAll(TOKEN)) {
      if (token.trim() !== '') {
        const id = numbers.get(token) ?? numbers.size;
        numbers.set(token, id);
        add(id, line, file);
      }
      for (const character of token) if (character === '\n') line += 1;
    }
    add(-1 - file, line, file);
  }
  return { ids, lines, files };
}

/** The text with blanks in the place of comments and imports, so that each line keeps its number. */
function codeOf({ text, comments, program }: Source): string {
  const imports = (program['body'] as readonly Node[]).filter(({ type }) => type === 'ImportDeclaration');
  let code = '';
  let end = 0;
  for (const part of [...comments, ...imports].toSorted((a, b) => a.start - b.start)) {
    if (part.start < end) continue;
    code += text.slice(end, part.start) + text.slice(part.start, part.end).replaceAll(/[^\n]/gu, ' ');
    end = part.end;
  }
  return code + text.slice(end);
}

function hashOf(ids: readonly number[], at: number): number {
  let hash = 0;
  for (let next = at; next < at + WINDOW; next += 1) hash = (Math.imul(hash, 31) + (ids[next] ?? 0)) | 0;
  return hash;
}

function grown(sources: readonly Source[], { ids, lines, files }: Tokens, one: number, other: number): Clone {
  let length = 0;
  while (one + length < other && ids[one + length] === ids[other + length]) length += 1;
  const placeOf = (at: number): Place => ({
    file: sources[files[at] ?? 0]?.file ?? '',
    from: lines[at] ?? 0,
    to: lines[at + length - 1] ?? 0,
  });
  const [first, second] = [placeOf(one), placeOf(other)];
  const linesOf = ({ from, to }: Place): number => to - from + 1;
  return { one: first, other: second, lines: Math.min(linesOf(first), linesOf(second)) };
}
