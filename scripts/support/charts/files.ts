// The files that are drawn from the machines, and how each is brought up to date.
import { explore } from './explore.ts';
import { charted } from './machines.ts';
import { matrixText } from './matrix.ts';
import { mermaidText } from './mermaid.ts';

const ARCHITECTURE = 'docs/architecture.md';

/** File, from the checkout → its text as it should be, given the text that it has. */
export function drawnFiles(): ReadonlyMap<string, (old: string) => string> {
  const files = new Map<string, (old: string) => string>();
  for (const one of charted) files.set(`test/golden/machines/${one.name}.txt`, () => matrixText(one, explore(one)));
  files.set(ARCHITECTURE, withPictures);
  return files;
}

/** Replaces what stands between `<!-- chart NAME -->` and `<!-- end -->` by the picture of that machine. */
export function withPictures(text: string): string {
  return text.replace(/(<!-- chart ([a-z-]+) -->\n)[\s\S]*?(<!-- end -->)/gu, (_all, begin: string, name: string, end: string) => {
    const one = charted.find((other) => other.name === name);
    if (one === undefined) throw new Error(`${ARCHITECTURE}: no machine is called ${name}`);
    return `${begin}\`\`\`mermaid\n${mermaidText(one.machine)}\n\`\`\`\n${end}`;
  });
}
