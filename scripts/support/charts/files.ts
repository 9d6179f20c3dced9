// The files that are drawn from the code, and how each is brought up to date.
import { dirname } from 'node:path';
import { filesBelow, textOf } from '../../../test/tidy/support/sources.ts';
import { admissionText } from './admission-text.ts';
import { explore } from './explore.ts';
import { charted } from './machines.ts';
import { matrixText } from './matrix.ts';
import { mermaidText } from './mermaid.ts';
import { boundsPage } from './bounds-page.ts';
import { messagesPage } from './messages-page.ts';
import { metricsPage } from './metrics-page.ts';
import { rowsPage } from './rows-page.ts';

const ARCHITECTURE = 'docs/architecture.md';

/** File, from the checkout → its text as it should be, given the text that it has. */
export function drawnFiles(): ReadonlyMap<string, (old: string) => string> {
  const files = new Map<string, (old: string) => string>();
  for (const one of charted)
    files.set(`test/golden/machines/${one.name}.txt`, () => matrixText(one, explore(one)));
  files.set('test/golden/admission/admission.txt', () => admissionText());
  files.set(ARCHITECTURE, (old) => withTables(withPictures(old)));
  files.set('docs/metrics.md', metricsPage);
  files.set('docs/rows.md', () => rowsPage(textOf('test/rows.txt')));
  files.set('docs/bounds.md', () => boundsPage(boundsOfCheckout()));
  return files;
}

/** docs/messages.md changes with every message: `test/tidy` does not compare it, `npm run check` does. */
export function drawnMessages(): ReadonlyMap<string, () => string> {
  return new Map([['docs/messages.md', messagesPage]]);
}

/** The room of each file of bounds, and its text. */
function boundsOfCheckout(): ReadonlyMap<string, string> {
  const files = filesBelow('src').filter((file) => file.endsWith('/bounds.ts'));
  return new Map(files.map((file) => [dirname(file).slice('src/'.length), textOf(file)]));
}

/** Replaces what stands between `<!-- chart NAME -->` and `<!-- end -->` by the picture of that machine. */
function withPictures(text: string): string {
  return text.replace(
    /(<!-- chart ([a-z-]+) -->\n)[\s\S]*?(<!-- end -->)/gu,
    (_all, begin: string, name: string, end: string) => {
      const one = charted.find((other) => other.name === name);
      if (one === undefined) throw new Error(`${ARCHITECTURE}: no machine is called ${name}`);
      return `${begin}\`\`\`mermaid\n${mermaidText(one.machine)}\n\`\`\`\n${end}`;
    },
  );
}

/**
 * Replaces what stands between `<!-- table FILE -->` and `<!-- end -->` by the tables in the comment at that file's
 * head.
 */
function withTables(text: string): string {
  return text.replace(
    /(<!-- table (\S+) -->\n)[\s\S]*?(<!-- end -->)/gu,
    (_all, begin: string, file: string, end: string) => {
      const [head = ''] = textOf(file).split('*/', 1);
      const lines = head.split('\n').map((line) => line.replace(/^ \* ?/u, ''));
      const rows = lines.filter(
        (line, at) => line.startsWith('|') || (line === '' && lines[at - 1]?.startsWith('|') === true),
      );
      return `${begin}${rows.join('\n').trim()}\n${end}`;
    },
  );
}
