// Words that have a better one in the field (docs/glossary.md): in comments, texts (titles of tests and messages among
// them) and names of the daemon, its tests and its scripts, and in documents.
import { describe, expect, it } from 'vitest';
import type { Node, Source } from './support/sources.ts';
import { filesBelow, sourcesBelow, textOf, walk } from './support/sources.ts';

/** Folders of what people read in this checkout. */
const FOLDERS: readonly string[] = ['src', 'test', 'scripts', 'deploy'];

/** This file, which has to say the words that it bans. */
const OWN_FILE = 'test/tidy/words.test.ts';

/** Written by the benches and by `npm run conformance`: their words are those of the last run. */
const MEASURED: ReadonlySet<string> = new Set(['docs/conformance.md', 'docs/figures.md']);

/** What prose must not say → what it says instead. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/\b(?:told|tells?|telling)\b/iu, 'say, report, show'],
  [/\b(?:let|lets|letting) go\b/iu, 'release'],
  [/\bwish(?:es|ed)?\b/iu, 'request'],
  [/\blook(?:s|ed|ing)?\b(?![ -]?ups?\b)/iu, 'poll, scan, read, check'],
  [
    /\b(?:earlier|other|another|previous|former|last|next|later|daemon['’]s|each) (?:life|lives)\b/iu,
    'boot, instance',
  ],
  [/\blife of (?:a|the|this) daemon\b/iu, 'boot, instance'],
  [/\bstrangers?\b/iu, 'untrusted, unknown'],
  [/\bmend(?:s|ed|ing)?\b/iu, 'fix'],
  [/\b(?:is|are|was|were) none\b/iu, 'is not, does not exist'],
  [/\bmade of\b/iu, 'inputs'],
  [/\b(?:is|are|was|were)(?: not)? here\b/iu, 'present, not present'],
  [/\b(?:ow(?:es?|ed|ing)|debts?)\b/iu, 'cleanup pending'],
  [/\b(?:nursery|graves?|newborn|deaf|unborn)\b/iu, 'removed ids, starting, unsubscribed'],
];

/** Names of files that daemons before this rule wrote, and that their successors read. */
const ON_DISK: ReadonlySet<string> = new Set(['oom-told']);

/** Parts of names, as in `sameWish` or `hearNoMore`. */
const NAME_PARTS: ReadonlySet<string> = new Set(
  'wish wishes told tell tells owing owed owes mend mended stranger strangers graves newborn deaf unborn nursery cast'.split(
    ' ',
  ),
);

/** Names that stay: fields of the journal's records, which older versions wrote. */
const KEPT_NAMES: ReadonlySet<string> = new Set(['owed']);

const partsOf = (name: string): readonly string[] =>
  name.split(/[^A-Za-z]|(?<=[a-z])(?=[A-Z])/u).map((part) => part.toLowerCase());

function wrongIn(text: string): readonly string[] {
  return WORDS.flatMap(([word, instead]) => {
    const found = word.exec(text)?.[0];
    return found === undefined ? [] : [`"${found}": ${instead}`];
  });
}

function textsOf({ program }: Source): readonly { readonly text: string; readonly start: number }[] {
  const texts: { readonly text: string; readonly start: number }[] = [];
  walk(program, (node: Node) => {
    const value =
      node.type === 'TemplateElement' ? (node['value'] as { cooked?: unknown }).cooked : node['value'];
    if (
      (node.type === 'Literal' || node.type === 'TemplateElement') &&
      typeof value === 'string' &&
      !ON_DISK.has(value)
    )
      texts.push({ text: value, start: node.start });
  });
  return texts;
}

describe('words', () => {
  const sources = FOLDERS.flatMap(sourcesBelow).filter(({ file }) => file !== OWN_FILE);

  it('of comments are those of the field', () => {
    const wrong = sources.flatMap((source) =>
      source.comments.flatMap(({ value, start }) =>
        wrongIn(value).map((what) => `${source.file}:${source.line(start)}: ${what}`),
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('of titles, errors, log lines and other texts are those of the field', () => {
    const wrong = sources.flatMap((source) =>
      textsOf(source).flatMap(({ text, start }) =>
        wrongIn(text).map((what) => `${source.file}:${source.line(start)}: ${what}`),
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('of names are those of the field', () => {
    const wrong = new Set<string>();
    for (const { file, program } of sources) {
      walk(program, (node: Node) => {
        const name =
          node.type === 'Identifier' || node.type === 'PrivateIdentifier' ? String(node['name']) : '';
        if (!KEPT_NAMES.has(name) && partsOf(name).some((part) => NAME_PARTS.has(part)))
          wrong.add(`${file}: ${name}`);
      });
    }
    expect([...wrong]).toEqual([]);
  });

  it('of the documents are those of the field', () => {
    const documents = ['README.md', 'CONTRIBUTING.md', 'docs', ...FOLDERS]
      .flatMap((at) => (at.endsWith('.md') ? [at] : filesBelow(at)))
      .filter((file) => file.endsWith('.md') && file !== 'docs/glossary.md' && !MEASURED.has(file));
    const wrong = documents.flatMap((file) =>
      textOf(file)
        .split('\n')
        .flatMap((line, at) => wrongIn(line).map((what) => `${file}:${at + 1}: ${what}`)),
    );
    expect(wrong).toEqual([]);
  });
});
