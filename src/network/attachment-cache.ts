/**
 * What DEL needs, kept from before the first plugin of ADD runs until a DEL has
 * succeeded (F55; reliability.md G: "the cache goes last"). Two files per sandbox:
 * `<id>.json`, the duty: configuration and values of ADD, durable before any effect;
 * `<id>.result`, what the plugins answered, so that a torn one never costs the duty.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, toFault, FaultError } from '../base/fault.ts';
import type { SandboxId } from '../base/ids.ts';
import { parseSandboxId } from '../base/ids.ts';
import { networkLimits } from './bounds.ts';
import { codeOf } from '../host/ffi/errno.ts';
import { readSmallFile } from '../host/files/small-file.ts';
import { syncPath } from '../host/files/sync-path.ts';
import type { CniResult } from './result.ts';
import { parseResult } from './result.ts';
import type { CniVersion, Network } from './conflist.ts';
import { parseList } from './conflist.ts';
import type { Json, JsonObject } from './json.ts';
import { asArray, asObject, asString, member, parseObject } from './json.ts';

/** Version of both file formats. */
const FORMAT = 1;
/** End of the name of a file that is being written. */
const UNFINISHED = '.new';
/** Neither a FIFO nor a link in its place is waited for or followed (F89). */
const NEW_FILE =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface Attachment {
  readonly id: SandboxId;
  readonly ifName: string;
  readonly network: Network;
  readonly pluginDirs: readonly string[];
  readonly cniArgs: string;
  /** Values of the capabilities that some plugin of the chain declares. */
  readonly runtimeConfig: JsonObject;
}

export interface KeptResult {
  /** False: of the last plugin before the one that failed. */
  readonly complete: boolean;
  readonly result: CniResult;
}

export class AttachmentCache {
  readonly #dir: string;

  /** `dir` is made when it is not there; nothing else may write in it. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Keeps the duty; returns when it is on the disk. */
  async begin(attachment: Attachment): Promise<void> {
    const text = JSON.stringify({
      format: FORMAT,
      ifName: attachment.ifName,
      network: networkJson(attachment.network),
      pluginDirs: attachment.pluginDirs,
      cniArgs: attachment.cniArgs,
      runtimeConfig: attachment.runtimeConfig,
    });
    if (Buffer.byteLength(text) > networkLimits.attachmentFileBytes) {
      const limit = `more than ${networkLimits.attachmentFileBytes} bytes`;
      fail('exhausted', `network of sandbox ${attachment.id}: configuration and annotations have ${limit}`, {
        subject: attachment.id,
        retryable: false,
      });
    }
    await this.#write(attachment.id, `${attachment.id}.json`, text);
    await syncPath(this.#dir);
  }

  /** Keeps the answer of ADD. Its name is not waited for: without it DEL has no `prevResult`, which plugins must take. */
  async keepResult(id: SandboxId, kept: KeptResult): Promise<void> {
    const { complete, result } = kept;
    const text = JSON.stringify({
      format: FORMAT,
      complete,
      cniVersion: result.cniVersion,
      result: result.raw,
    });
    await this.#write(id, `${id}.result`, text);
  }

  /** The duty; undefined when there is none, `damaged` when the file is no longer what was written (a disk's fault). */
  async read(id: SandboxId): Promise<Attachment | 'damaged' | undefined> {
    const text = await this.#read(id, `${id}.json`);
    if (text === undefined) return undefined;
    const object = parseObject(text);
    return (object === undefined ? undefined : attachmentOf(id, object)) ?? 'damaged';
  }

  /** What the plugins answered; undefined when nothing whole was kept. */
  async readResult(id: SandboxId): Promise<KeptResult | undefined> {
    const object = parseObject((await this.#read(id, `${id}.result`)) ?? '');
    const result = object === undefined ? undefined : asObject(member(object, 'result'));
    if (object === undefined || result === undefined) return undefined;
    const parsed = parseResult(JSON.stringify(result), asString(member(object, 'cniVersion')) as CniVersion);
    return parsed.ok ? { complete: member(object, 'complete') === true, result: parsed.result } : undefined;
  }

  /** Ends the duty; the result goes first, so that a cut leaves a DEL owed, never a result without one. */
  async end(id: SandboxId): Promise<void> {
    for (const name of [`${id}.result`, `${id}.json`]) {
      try {
        await unlink(join(this.#dir, name));
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') this.#throw(id, error);
      }
    }
  }

  /**
   * Deletes what a daemon that was killed had not finished writing: its name was never taken, so nothing was begun on its
   * word. Only at the start, before the first ADD.
   */
  async tidy(): Promise<void> {
    try {
      const names = (await readdir(this.#dir)).filter((name) => name.endsWith(UNFINISHED));
      const results = await Promise.allSettled(
        names.map((name) => rm(join(this.#dir, name), { recursive: true, force: true })),
      );
      // one that stays keeps no other
      const failed = results.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT')
        throw new FaultError(toFault(error, `unfinished files in ${this.#dir}`));
    }
  }

  /** Sandboxes with a duty, sorted; damaged ones too. Rejects where the directory can't be read. As many as there are: one that is left out would count as without a network. */
  async list(): Promise<readonly SandboxId[]> {
    let names: string[];
    try {
      names = await readdir(this.#dir);
    } catch (error) {
      // a file in the place of the directory is no answer: pods that run would count as without a network, and be stopped
      if (codeOf(error) === 'ENOENT') return [];
      throw new FaultError(toFault(error, `list of network attachments in ${this.#dir}`));
    }
    const ids = names.flatMap((name) =>
      name.endsWith('.json') ? (parseSandboxId(name.slice(0, -'.json'.length)) ?? []) : [],
    );
    return ids.toSorted();
  }

  // a new file that takes the name once its bytes are on the disk: never half a file under the name
  async #write(id: SandboxId, name: string, text: string): Promise<void> {
    const temporary = join(this.#dir, `.${name}${UNFINISHED}`);
    try {
      const handle = await this.#openNew(temporary);
      try {
        await handle.writeFile(text);
        await handle.datasync();
      } finally {
        await handle.close();
      }
      await rename(temporary, join(this.#dir, name));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      this.#throw(id, error);
    }
  }

  /** The directory is missing for the first pod alone, and to ask for it is two calls through the pool. */
  async #openNew(path: string): Promise<FileHandle> {
    try {
      return await open(path, NEW_FILE, 0o600);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    return open(path, NEW_FILE, 0o600);
  }

  async #read(id: SandboxId, name: string): Promise<string | undefined> {
    const { attachmentFileUsualBytes: usualBytes, attachmentFileBytes } = networkLimits;
    try {
      return await readSmallFile(join(this.#dir, name), { usualBytes, bytesMax: 2 * attachmentFileBytes });
    } catch (error) {
      return this.#throw(id, error);
    }
  }

  #throw(id: SandboxId, error: unknown): never {
    throw new FaultError(toFault(error, `kept network configuration of sandbox ${id}`));
  }
}

function networkJson(network: Network): JsonObject {
  return {
    name: network.name,
    cniVersion: network.cniVersion,
    disableCheck: network.disableCheck,
    disableGC: network.disableGc,
    plugins: network.plugins.map(({ raw }) => raw),
  };
}

function attachmentOf(id: SandboxId, object: JsonObject): Attachment | undefined {
  const parsed = parseList(JSON.stringify(member(object, 'network') ?? null));
  const ifName = asString(member(object, 'ifName'));
  const cniArgs = asString(member(object, 'cniArgs'));
  const runtimeConfig = asObject(member(object, 'runtimeConfig'));
  const pluginDirs = asArray(member(object, 'pluginDirs'));
  if (member(object, 'format') !== FORMAT || !parsed.ok || !ifName || cniArgs === undefined) return undefined;
  if (runtimeConfig === undefined || pluginDirs === undefined) return undefined;
  const isText = (value: Json): value is string => typeof value === 'string';
  return {
    id,
    ifName,
    network: parsed.network,
    pluginDirs: pluginDirs.filter(isText),
    cniArgs,
    runtimeConfig,
  };
}
