// `sudo npm run soak [-- --minutes 120 --pods 30 --file PATH]`: mixed load on one daemon for hours. Samples go into a
// file, a line each; in the end the verdict goes into docs/figures.md and the curves into docs/pictures. With
// `--draw PATH` instead: verdict and curves of such a file, also of a run that goes on.
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../../scripts/support/figures.ts';
import { checkout } from '../../support/tools/cache.ts';
import { picturesOf } from './pictures.ts';
import { readRecord } from './record.ts';
import { problems, soakText } from './report.ts';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '120' },
    pods: { type: 'string', default: '30' },
    file: { type: 'string' },
    draw: { type: 'string' },
  },
});

if (values.draw !== undefined) draw(resolve(values.draw));
else if (process.getuid?.() === 0) await main();
else {
  console.error('The soak makes pods, so it needs root: sudo npm run soak');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const file = resolve(values.file ?? join(tmpdir(), `troupe-soak-${process.pid}.jsonl`));
  console.log(`samples: ${file}`);
  await soak({
    minutes: Number(values.minutes),
    pods: Number(values.pods),
    file,
    onWorld: (world) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const)
        process.once(signal, () => void world.close().finally(() => process.exit(130)));
    },
  });
  draw(file);
}

/** Prints the verdict; figures and pictures of many pods have names of their own. */
function draw(file: string): void {
  const recorded = readRecord(file);
  const { head } = recorded;
  const isLarge = head.pods >= 100;
  const name = isLarge ? `soak-${head.pods}` : 'soak';
  const directory = join(checkout, 'docs/pictures');
  mkdirSync(directory, { recursive: true });
  const links: string[] = [];
  for (const [kind, svg] of picturesOf(recorded)) {
    writeFileSync(join(directory, `${name}-${kind}.svg`), svg);
    links.push(`![${kind}](pictures/${name}-${kind}.svg)`);
  }
  const text = soakText(recorded, links.join('\n'));
  console.log(text);
  writeFigures(name.replace('-', ' '), `Soak${isLarge ? `: ${head.pods} pods` : ''}`, text, head.made);
  if (problems(recorded).length > 0) process.exitCode = 1;
}
