/** `troupe status`, `troupe config`, `troupe version`: the daemon itself. */
import { readFile } from 'node:fs/promises';
import { parse, stringify } from 'smol-toml';
import { plainOf, problemOf } from '../../introspection/client.ts';
import type {
  Disk,
  FormerDaemon,
  HandlerStatus,
  StatusResponse,
} from '../../gen/introspection/v1/introspection_pb.ts';
import { missingAs } from '../../host/ffi/errno.ts';
import { defaultConfig } from '../config/config-schema.ts';
import type { Config } from '../config/config-schema.ts';
import { VERSION } from '../wiring/version.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { ownUseOf } from './own-use.ts';
import type { OwnUse } from './own-use.ts';
import { orRefusedStart } from './refused-start.ts';
import type { Screen } from './screen.ts';
import { age, amount, bytes } from './text.ts';

/** Exits with 1 if the daemon is not ready. */
export async function status(command: Command): Promise<number> {
  const answer = await answerOf(command);
  const { screen } = command;
  const { configJson, ...rest } = answer;
  const inEffect = (configJson === '' ? defaultConfig : JSON.parse(configJson)) as Config;
  const ownUse = await ownUseOf(answer.socket);
  if (command.json)
    writeJson(screen, { ...(plainOf(rest) as object), ownUse: ownUse ?? null, config: inEffect });
  else {
    const facts = { config: inEffect, ownUse };
    for (const line of statusLines(answer, facts, command.clock.nowNs(), screen)) screen.line(line);
  }
  return answer.notReadyReason === '' && answer.networkReady ? EXIT.ok : EXIT.failed;
}

async function answerOf(command: Command): Promise<StatusResponse> {
  try {
    return await command.client.status({});
  } catch (thrown) {
    throw await orRefusedStart(command, thrown);
  }
}

/** What the answer does not say. */
interface StatusFacts {
  readonly config: Pick<Config, 'root' | 'storage'>;
  readonly ownUse: OwnUse | undefined;
}

/** The lines of `troupe status`. */
export function statusLines(
  answer: StatusResponse,
  { config: { root, storage }, ownUse }: StatusFacts,
  nowNs: bigint,
  screen: Screen,
): readonly string[] {
  const files = answer.configFiles.length === 0 ? 'the defaults, no file' : answer.configFiles.join(', ');
  return [
    entry(
      'troupe',
      `${answer.version}, pid ${answer.pid}, up ${age(nowNs - answer.startedNs)}, ${bytes(Number(answer.rssBytes))} of memory`,
    ),
    ...answer.formerDaemons.map((former) => entry('former', formerText(former, nowNs))),
    entry('runtime', readiness(answer.notReadyReason === '', answer.notReadyReason, screen)),
    ...(answer.lostFacts === '' ? [] : [entry('journal', screen.tone('bad', answer.lostFacts))]),
    ...answer.conditions.map(({ type, message }) =>
      entry('degraded', screen.tone('bad', `${type} is false: ${message}`)),
    ),
    ...(answer.configWaiting.length === 0
      ? []
      : [entry('restart', `needed by changed keys: ${answer.configWaiting.join(', ')}`)]),
    ...networkLines(answer, screen),
    ...answer.handlers.flatMap((handler) => handlerLines(handler, screen)),
    entry(
      'alive',
      [
        amount(answer.sandboxes, 'pod'),
        amount(answer.containers, 'container'),
        amount(answer.pulls, 'pull'),
        amount(answer.images, 'image'),
      ].join(', '),
    ),
    entry('config', files),
    entry('storage', storageText(root, storage)),
    ...diskLines(answer.disks, ownUse, screen),
    entry('socket', answer.socket),
    ...(answer.pageOrigin === ''
      ? []
      : [entry('page', `${answer.pageOrigin}/#token=…, the token is in ${answer.pageTokenFile}`)]),
  ];
}

const entry = (name: string, value: string): string => `${name.padEnd(12)}${value}`;

function formerText({ pid, version, sinceNs, sessions }: FormerDaemon, nowNs: bigint): string {
  return `daemon ${pid} of version ${version} still serves ${sessions} sessions, for ${age(nowNs - sinceNs)}`;
}

function readiness(isReady: boolean, reason: string, screen: Screen): string {
  return isReady
    ? screen.tone('good', 'ready')
    : screen.tone('bad', `not ready: ${reason === '' ? 'no reason given' : reason}`);
}

/** Whether it is ready, which network pods join, and files that were passed over. */
function networkLines(answer: StatusResponse, screen: Screen): readonly string[] {
  const { networkName, networkFile, networkReady, networkMessage, networkSkipped } = answer;
  const from = networkFile === '' ? "troupe's own" : networkFile;
  const inUse = networkName === '' ? '' : `: ${networkName} (${from})`;
  const ready = readiness(networkReady, networkMessage, screen);
  return [
    entry('network', networkReady ? ready + inUse : ready),
    ...(networkReady || inUse === '' ? [] : [entry('', `in use${inUse}`)]),
    ...networkSkipped.map(({ path, reason }) => entry('', screen.tone('bad', `skipped ${path}: ${reason}`))),
  ];
}

/** One line, and of the default "auto" one for its choice. The default is listed under its own name, too. */
function handlerLines(handler: HandlerStatus, screen: Screen): readonly string[] {
  const { name, ready, reason, choice, flaws, version } = handler;
  const known = name === '' ? [] : [version, screen.tone('bad', flaws)].filter((part) => part !== '');
  const text = [readiness(ready, reason, screen), ...known].join('; ');
  return [
    entry('handler', `${name === '' ? 'default' : name} ${text}`),
    ...(choice === '' ? [] : [entry('', choice)]),
  ];
}

/** The figures that the page shows, too, and what of them is in images and containers. */
function diskLines(disks: readonly Disk[], ownUse: OwnUse | undefined, screen: Screen): readonly string[] {
  const own =
    ownUse === undefined
      ? []
      : [`images use ${bytes(ownUse.imageBytes)}, what containers wrote ${bytes(ownUse.containerBytes)}`];
  // the state is in memory mostly, and small
  const shown = disks.filter((disk) => isLow(disk) || disk.holds.some((what) => what !== 'state'));
  return [...shown.map((disk) => diskText(disk, screen)), ...own].map((text, at) =>
    entry(at === 0 ? 'disk' : '', text),
  );
}

const isLow = ({ freeBytes, reserveBytes }: Disk): boolean => freeBytes < reserveBytes;

function diskText(disk: Disk, screen: Screen): string {
  const { path, totalBytes, freeBytes, reserveBytes } = disk;
  const text = `${path}: ${bytes(Number(freeBytes))} free of ${bytes(Number(totalBytes))}`;
  return isLow(disk)
    ? screen.tone('bad', `${text}: too little for pulls, which leave ${bytes(Number(reserveBytes))}`)
    : text;
}

/** The storage driver and its directories. */
function storageText(root: string, storage: Config['storage']): string {
  const images = storage.image_store === '' ? '' : `, images at ${storage.image_store}`;
  const others =
    storage.additional_stores.length === 0 ? '' : `, reads ${storage.additional_stores.join(', ')}`;
  return `${storage.driver} at ${root}${images}${others}`;
}

/** The configuration of the running daemon, or else the one that it would start with. */
export async function config(command: Command): Promise<number> {
  const { screen, line, json } = command;
  if (line.flags.has('default')) {
    const text = (await commentedDefault()) ?? stringify(defaultConfig);
    if (json) writeJson(screen, parse(text));
    else screen.block(text.trimEnd());
    return EXIT.ok;
  }
  const inEffect = await effective(command);
  if (json) writeJson(screen, inEffect);
  else screen.block(stringify(inEffect).trimEnd());
  return EXIT.ok;
}

async function effective(command: Command): Promise<object> {
  const { line, client, screen } = command;
  // files or options on the command line ask for their result
  const asksForFiles = ['config', 'root', 'socket'].some((name) => line.options[name] !== undefined);
  if (asksForFiles) return shown(await command.config());
  try {
    return JSON.parse((await client.status({})).configJson) as object;
  } catch (thrown) {
    const { problem } = problemOf(thrown);
    if (problem !== 'unreachable' && problem !== 'forbidden') throw thrown;
    const reason = problem === 'unreachable' ? 'no daemon answers' : 'this user may not ask the daemon';
    screen.note(`troupe config: ${reason}; this is the configuration for a start`);
    return shown(await command.config());
  }
}

/** Plain values without the passwords of proxies, as the daemon shows its own (S92). */
function shown(ours: Config): object {
  return JSON.parse(JSON.stringify(ours)) as object;
}

/** The commented default file of the package; the bundle is in another directory than the sources. */
async function commentedDefault(): Promise<string | undefined> {
  const place = import.meta.url.endsWith('.ts') ? '../../../deploy/troupe.toml' : '../deploy/troupe.toml';
  return missingAs(readFile(new URL(place, import.meta.url), 'utf8'), undefined);
}

export function version({ screen, json }: Pick<Command, 'screen' | 'json'>): number {
  const node = process.versions.node;
  if (json) writeJson(screen, { version: VERSION, node, platform: process.platform, arch: process.arch });
  else screen.line(`troupe ${VERSION} (Node ${node})`);
  return EXIT.ok;
}
