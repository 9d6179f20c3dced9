/** `troupe status`, `troupe config`, `troupe version`: the daemon itself. */
import { readFile } from 'node:fs/promises';
import { parse, stringify } from 'smol-toml';
import { plainOf, problemOf } from '../../introspection/client.ts';
import type { StatusResponse } from '../../gen/introspection/v1/introspection_pb.ts';
import { missingAs } from '../../host/ffi/errno.ts';
import { defaultConfig } from '../config/config-schema.ts';
import type { Config } from '../config/config-schema.ts';
import { VERSION } from '../wiring/version.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';
import { age, bytes } from './text.ts';

/** Exits with 1 if the daemon is not ready. */
export async function status(command: Command): Promise<number> {
  const answer = await command.client.status({});
  const { screen } = command;
  if (command.json) {
    const { configJson, ...rest } = answer;
    writeJson(screen, { ...(plainOf(rest) as object), config: JSON.parse(configJson) as unknown });
  } else for (const line of statusLines(answer, command.clock.nowNs(), screen)) screen.line(line);
  return answer.notReadyReason === '' && answer.networkReady ? EXIT.ok : EXIT.failed;
}

/** The lines of `troupe status`. */
function statusLines(answer: StatusResponse, nowNs: bigint, screen: Screen): readonly string[] {
  const entry = (name: string, value: string): string => `${name.padEnd(12)}${value}`;
  const yes = (isReady: boolean, reason: string): string =>
    isReady
      ? screen.tone('good', 'ready')
      : screen.tone('bad', `not ready: ${reason === '' ? 'no reason given' : reason}`);
  return [
    entry(
      'troupe',
      `${answer.version}, pid ${answer.pid}, up ${age(nowNs - answer.startedNs)}, ${bytes(Number(answer.rssBytes))} of memory`,
    ),
    entry('runtime', yes(answer.notReadyReason === '', answer.notReadyReason)),
    ...(answer.lostFacts === '' ? [] : [entry('journal', screen.tone('bad', answer.lostFacts))]),
    ...answer.conditions.map(({ type, message }) =>
      entry('degraded', screen.tone('bad', `${type} is false: ${message}`)),
    ),
    entry('network', yes(answer.networkReady, answer.networkMessage)),
    ...answer.handlers.flatMap(({ name, ready, reason, choice }) => [
      entry('handler', `${name === '' ? 'default' : name} ${yes(ready, reason)}`),
      ...(choice === '' ? [] : [entry('', choice)]),
    ]),
    entry(
      'alive',
      `${answer.sandboxes} pods, ${answer.containers} containers, ${answer.pulls} pulls, ${answer.images} images`,
    ),
    entry('storage', storageOf(answer.configJson)),
    entry('socket', answer.socket),
  ];
}

/** The storage driver and its directories, from the daemon's configuration as JSON. */
function storageOf(configJson: string): string {
  const { root, storage } = (configJson === '' ? defaultConfig : JSON.parse(configJson)) as Partial<Config>;
  if (storage === undefined) return '';
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
