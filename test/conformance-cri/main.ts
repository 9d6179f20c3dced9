// `sudo npm run conformance [-- --socket unix:///… --image-socket unix:///… --handler NAME --runtime PATH --only WORDS
// --json]`: the table of what critest never touches, row by row, against any runtime's socket; without one against an
// instance of our own, whose full run writes docs/conformance.md.
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { criClient } from '../../scripts/support/cri-client.ts';
import { recordSkips } from '../../scripts/support/skips.ts';
import { startTinyRegistry } from '../../scripts/support/tiny-registry.ts';
import { busyboxImage } from '../../scripts/support/busybox-image.ts';
import { staticBusybox } from '../support/tools/debian.ts';
import { conformanceImages } from './images.ts';
import { print, totals, writeDocument } from './report.ts';
import type { Group } from './row.ts';
import { type Result, runGroups } from './run.ts';
import { Stage, type StageOptions } from './stage.ts';
import { table } from './table.ts';
import { conformanceWorld } from './world.ts';

const { values: options } = parseArgs({
  options: {
    socket: { type: 'string' },
    'image-socket': { type: 'string' },
    handler: { type: 'string' },
    config: { type: 'string' },
    runtime: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    slow: { type: 'boolean', default: false },
  },
});

/** Rows in whose group, subject or claim each of the words is. */
function chosen(groups: readonly Group[], words: readonly string[]): readonly Group[] {
  const holds = (text: string): boolean =>
    words.every((word) => text.toLowerCase().includes(word.toLowerCase()));
  return groups
    .map((group) => ({
      ...group,
      rows: group.rows.filter(({ subject, claim }) => holds(`${group.title} ${subject} ${claim}`)),
    }))
    .filter(({ rows }) => rows.length > 0);
}

async function runOn(stageOptions: StageOptions, groups: readonly Group[]): Promise<Result[]> {
  const stage = await Stage.open(stageOptions);
  try {
    return await runGroups(stage, groups, options.json ? () => {} : print);
  } finally {
    await stage.close();
  }
}

/** The rest of the handlers run what their runtime takes part in. */
async function runOwn(groups: readonly Group[]): Promise<Result[]> {
  const { world, handlers } = await conformanceWorld(
    options.config === undefined ? undefined : await readFile(options.config, 'utf8'),
    options.runtime,
  );
  try {
    const results: Result[] = [];
    for (const handler of options.handler === undefined ? handlers : [options.handler]) {
      const isFirst = results.length === 0;
      const place = {
        client: world.client,
        socket: world.instance.socket,
        registry: world.registry,
        handler,
      };
      results.push(...(await runOn(place, isFirst ? groups : groups.filter(({ perHandler }) => perHandler))));
    }
    const left = await world.leftovers();
    for (const line of left) console.error(`left on the machine: ${line}`);
    if (left.length > 0) process.exitCode = 1;
    return results;
  } finally {
    await world.close();
  }
}

const pathOf = (endpoint: string): string => endpoint.replace(/^unix:\/\//u, '');

async function runElsewhere(endpoint: string, groups: readonly Group[]): Promise<Result[]> {
  const registry = await startTinyRegistry(
    new Map([['test/busybox:1', busyboxImage(staticBusybox())], ...conformanceImages()]),
  );
  const socket = pathOf(endpoint);
  const client = criClient(socket);
  const imageClient =
    options['image-socket'] === undefined ? client : criClient(pathOf(options['image-socket']));
  try {
    return await runOn(
      { client, imageClient, socket, registry: registry.address, handler: options.handler ?? '' },
      groups,
    );
  } finally {
    client.close();
    if (imageClient !== client) imageClient.close();
    await registry.stop();
  }
}

async function main(): Promise<void> {
  const groups = chosen(
    table,
    (options.only ?? '').split(/\s+/u).filter((word) => word !== ''),
  );
  const startedAt = performance.now();
  const results = await (options.socket === undefined
    ? runOwn(groups)
    : runElsewhere(options.socket, groups));
  const seconds = (performance.now() - startedAt) / 1000;
  if (options.json) console.log(JSON.stringify(results, undefined, 1));
  if (options.slow)
    for (const { ms, handler, group, claim } of results.toSorted((a, b) => b.ms - a.ms).slice(0, 20))
      console.log(`${ms} ms ${handler} ${group}: ${claim}`);
  const { socket, only, handler, runtime } = options;
  const isWhole = [socket, only, handler, runtime].every((option) => option === undefined);
  if (isWhole) {
    writeDocument(results, seconds);
    const skipped = results.filter(({ outcome }) => outcome === 'skipped');
    recordSkips(
      'conformance',
      results.length,
      skipped.map(({ reason }) => reason),
    );
  }
  if (!options.json) console.log(`\nconformance: ${totals(results)} in ${seconds.toFixed(0)} s`);
  if (results.some(({ outcome }) => outcome === 'failed')) process.exitCode = 1;
}

if (process.getuid?.() === 0) await main();
else {
  console.error('the conformance table makes pods, so it needs root: sudo npm run conformance');
  process.exitCode = 1;
}
