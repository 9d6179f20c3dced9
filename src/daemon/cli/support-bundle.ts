/**
 * `troupe support-bundle`: one archive with what a bug report needs and no secrets. Each part that can't be read is
 * listed with the reason, and the others are written: a bundle is needed most when something is broken.
 */
import { open } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { toFault } from '../../base/fault.ts';
import { withoutCredentials } from '../../base/shown-text.ts';
import { withoutQuotes } from '../../base/without-quotes.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { readSmallFile } from '../../host/files/small-file.ts';
import { problemOf, isCallError } from '../../introspection/client.ts';
import { flightLimits } from '../../introspection/bounds.ts';
import { isSegment } from '../../introspection/flight/writer.ts';
import { endOfArchive, headerOf, paddingAfter } from '../../oci/images/archive/tar-header-bytes.ts';
import { cliLimits, dumpLimits } from '../bounds.ts';
import type { Config } from '../config/config-schema.ts';
import { dumpsOf } from '../dumps/dump-files.ts';
import { DUMP_SIGNALS } from '../dumps/dump-signals.ts';
import { flightDirectory } from '../wiring/flight-files.ts';
import { VERSION } from '../wiring/version.ts';
import { kernelFacts, versions } from './bundle-facts.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { ps } from './ps.ts';
import { status } from './status.ts';
import { bytes } from './text.ts';
import { storedVersions } from '../../base/stored-versions.ts';

interface Part {
  readonly name: string;
  readonly text: string;
}

/** What the archive holds, and what it lacks with the reason. */
interface Contents {
  readonly parts: readonly Part[];
  readonly left: Readonly<Record<string, string>>;
}

const SECOND = 1_000_000_000n;

/** Lines of the log may quote commands of containers, so they are not in the archive (S91). */
const NO_LOG =
  'log lines may quote what programs in containers print: read them with journalctl -u troupe before sending any';

export async function supportBundle(command: Command): Promise<number> {
  const { line, screen, json, clock } = command;
  const [name = `troupe-support-${clock.nowNs() / SECOND}.tar.gz`] = line.words;
  const path = resolve(name);
  const { parts, left } = await contentsOf(command);
  const archive = await archiveOf(parts, (clock.nowNs() / SECOND) * SECOND);
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(archive);
  } finally {
    await file.close();
  }
  if (json)
    writeJson(screen, { file: path, bytes: archive.length, parts: parts.map((part) => part.name), left });
  else {
    for (const part of parts) screen.line(`${bytes(part.text.length).padStart(10)}  ${part.name}`);
    for (const [what, why] of Object.entries(left))
      screen.note(`troupe support-bundle: without ${what}: ${why}`);
    screen.line(`${path}: ${bytes(archive.length)}`);
  }
  return EXIT.ok;
}

async function contentsOf(command: Command): Promise<Contents> {
  const parts: Part[] = [];
  const left: Record<string, string> = { log: NO_LOG };
  const add = async (name: string, text: () => Promise<string>): Promise<void> => {
    try {
      parts.push({ name, text: await text() });
    } catch (thrown) {
      left[name] = reasonOf(thrown);
    }
  };
  const config = await configOf(command).catch((thrown: unknown) => {
    left['configuration.json'] = left['versions.json'] = left['flight'] = left['dumps'] = reasonOf(thrown);
    return undefined;
  });
  if (config !== undefined) {
    parts.push({ name: 'configuration.json', text: withoutCredentials(pretty(config)) });
    await add('versions.json', async () => pretty(await versions(config)));
    await addFlight(flightDirectory(config.root), add, left);
    await addDumps(config.state, add, left);
  }
  await add('kernel.json', async () => pretty(await kernelFacts()));
  await add('status.json', () => outputOf(command, status));
  await add('ps.json', async () => withoutQuotes(await outputOf(command, ps)));
  await add('check.json', async () => outputOf(command, (await import('./check.ts')).check, 'now'));
  const written = command.clock.nowNs().toString();
  parts.unshift({
    name: 'bundle.json',
    text: pretty({ format: storedVersions.supportBundle, troupe: VERSION, writtenNs: written, left }),
  });
  return { parts, left };
}

/** The configuration of the running daemon, or else that of a start; neither shows the passwords of proxies (S92). */
async function configOf({ client, config }: Command): Promise<Config> {
  try {
    return JSON.parse((await client.status({ writeFlight: true })).configJson) as Config;
  } catch (thrown) {
    if (!isCallError(thrown)) throw thrown;
    return JSON.parse(JSON.stringify(await config())) as Config;
  }
}

type Add = (name: string, text: () => Promise<string>) => Promise<void>;

async function addFlight(directory: string, add: Add, left: Record<string, string>): Promise<void> {
  const names = (
    await namesIfDirectory(directory).catch((thrown: unknown) => {
      left['flight'] = reasonOf(thrown);
      return [];
    })
  ).filter(isSegment);
  if (names.length === 0) left['flight'] ??= `no segment in ${directory}`;
  const bounds = { usualBytes: 1024 * 1024, bytesMax: 2 * flightLimits.segmentBytes };
  for (const name of names.toSorted())
    await add(`flight/${name}`, async () => (await readSmallFile(join(directory, name), bounds)) ?? '');
}

/** The newest of each kind. They are written without secrets, and only on request. */
async function addDumps(state: string, add: Add, left: Record<string, string>): Promise<void> {
  const bounds = { usualBytes: 1024 * 1024, bytesMax: 2 * dumpLimits.bytes };
  for (const [, kind] of DUMP_SIGNALS) {
    const [newest] = await dumpsOf(state, kind).catch((thrown: unknown) => {
      left[`dumps/${kind}`] = reasonOf(thrown);
      return [];
    });
    if (newest !== undefined)
      await add(`dumps/${basename(newest)}`, async () => (await readSmallFile(newest, bounds)) ?? '');
  }
}

/** What another command prints as JSON. */
async function outputOf(
  command: Command,
  run: (command: Command) => Promise<number>,
  ...flags: readonly string[]
): Promise<string> {
  const blocks: string[] = [];
  const screen: Command['screen'] = {
    ...command.screen,
    line: (text) => void blocks.push(text),
    block: (text) => void blocks.push(text),
    note: () => undefined,
    redraw: undefined,
  };
  const line = { ...command.line, flags: new Set(['json', ...flags]) };
  await run({ ...command, line, screen, json: true });
  return `${blocks.join('\n')}\n`;
}

function reasonOf(thrown: unknown): string {
  return withoutCredentials(isCallError(thrown) ? problemOf(thrown).message : toFault(thrown).message);
}

function pretty(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** A compressed tar of the parts below one directory. */
async function archiveOf(parts: readonly Part[], mtimeNs: bigint): Promise<Buffer> {
  const tar = new ByteBlocks('support bundle', cliLimits.bundleBytes);
  for (const { name, text } of parts) {
    const body = Buffer.from(text);
    const header = headerOf({
      type: 'file',
      name: `troupe-support/${name}`,
      linkName: '',
      mode: 0o600,
      uid: 0,
      gid: 0,
      size: body.length,
      mtimeNs,
      deviceMajor: 0,
      deviceMinor: 0,
      xattrs: [],
    });
    for (const bytes of [header, body, paddingAfter(body.length)]) tar.append(bytes);
  }
  tar.append(endOfArchive());
  return promisify(gzip)(tar.takeAll());
}
