/**
 * What DEL needs, stored from before the first plugin of ADD runs until a DEL has succeeded (F55). Two files
 * per sandbox: `<id>.json`, the intent (configuration and values of ADD), durable before any plugin runs; and
 * `<id>.result`, what the plugins answered. They are separate so that a torn result never costs the intent.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fail, toFault, FaultError } from '../base/fault.ts';
import type { SandboxId } from '../base/ids.ts';
import { parseSandboxId } from '../base/ids.ts';
import { networkLimits } from './bounds.ts';
import { codeOf, missingAs } from '../host/ffi/errno.ts';
import { readSmallFile } from '../host/files/small-file.ts';
import { spreadSubdirectories } from '../host/files/spread-directories.ts';
import { syncPath } from '../host/files/sync-path.ts';
import type { CniResult } from './result.ts';
import { parseResult } from './result.ts';
import type { CniVersion, Network } from './conflist.ts';
import { parseList } from './conflist.ts';
import type { CniJson, CniJsonObject } from './json.ts';
import { asArray, asObject, asString, member, parseObject } from './json.ts';
import { storedVersions } from '../base/stored-versions.ts';

/** Suffix of a file that is still being written. */
const UNFINISHED = '.new';
/** With these flags a FIFO in the file's place does not block the open, and a link is not followed (F89). */
const NEW_FILE =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface Attachment {
  readonly id: SandboxId;
  readonly ifName: string;
  readonly network: Network;
  readonly pluginDirs: readonly string[];
  readonly cniArgs: string;
  /** Values for the capabilities that some plugin of the chain declares. */
  readonly runtimeConfig: CniJsonObject;
}

export interface KeptResult {
  /** False until the last plugin has succeeded: the result is then that of the last one that did. */
  readonly complete: boolean;
  readonly result: CniResult;
}

export class AttachmentCache {
  readonly #dir: string;

  /** `dir` is created when it does not exist; nothing else may write in it. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Stores the intent; returns once it is durable. */
  async begin(attachment: Attachment): Promise<void> {
    const text = JSON.stringify({
      format: storedVersions.attachment,
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
    await this.#write(attachment.id, `${attachment.id}.json`, text, true);
    await syncPath(this.#dir);
  }

  /**
   * Stores the answer of ADD, or of a part of its chain, for a DEL after the daemon was killed. Not synced: a power
   * loss takes links and rules away anyway, and should the file be lost or torn, DEL runs without `prevResult`, which
   * plugins must accept (spec 1.1.0, section 3).
   */
  async keepResult(id: SandboxId, kept: KeptResult): Promise<void> {
    const { complete, result } = kept;
    const text = JSON.stringify({
      format: storedVersions.attachment,
      complete,
      cniVersion: result.cniVersion,
      result: result.raw,
    });
    await this.#write(id, `${id}.result`, text, false);
  }

  /**
   * The intent; undefined when none is stored, `damaged` when the file does not hold what was written (a disk
   * error).
   */
  async read(id: SandboxId): Promise<Attachment | 'damaged' | undefined> {
    const text = await this.#read(id, `${id}.json`);
    if (text === undefined) return undefined;
    const object = parseObject(text);
    return (object === undefined ? undefined : attachmentOf(id, object)) ?? 'damaged';
  }

  /** What the plugins answered; undefined when no whole result is stored. */
  async readResult(id: SandboxId): Promise<KeptResult | undefined> {
    const object = parseObject((await this.#read(id, `${id}.result`)) ?? '');
    const result = object === undefined ? undefined : asObject(member(object, 'result'));
    if (object === undefined || result === undefined) return undefined;
    const parsed = parseResult(JSON.stringify(result), asString(member(object, 'cniVersion')) as CniVersion);
    return parsed.ok ? { complete: member(object, 'complete') === true, result: parsed.result } : undefined;
  }

  /**
   * Deletes both files, the result first: an interruption in between leaves an intent, whose DEL is still
   * pending, and never a result alone. Returns once that is durable: the sandbox's end is recorded next, and an
   * intent that a power loss brought back would belong to no record and get no DEL, with its lease (F94).
   */
  async end(id: SandboxId): Promise<void> {
    try {
      for (const name of [`${id}.result`, `${id}.json`])
        await missingAs(unlink(join(this.#dir, name)), undefined);
      await missingAs(syncPath(this.#dir), undefined);
    } catch (error) {
      this.#throw(id, error);
    }
  }

  /**
   * Deletes files that an earlier boot of the daemon did not finish writing: they never got their name, so no
   * plugin ran because of them. Call it only at the start, before the first ADD.
   */
  async tidy(): Promise<void> {
    try {
      const names = (await readdir(this.#dir)).filter((name) => name.endsWith(UNFINISHED));
      const results = await Promise.allSettled(
        names.map((name) => rm(join(this.#dir, name), { recursive: true, force: true })),
      );
      // one file that can't be deleted does not keep the others
      const failed = results.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT')
        throw new FaultError(toFault(error, `delete unfinished files in ${this.#dir}`));
    }
  }

  /**
   * Sandboxes with an intent, sorted; damaged ones too. Rejects where the directory can't be read. The list
   * has no bound: a sandbox that was left out would be taken for one without a network.
   */
  async list(): Promise<readonly SandboxId[]> {
    let names: string[];
    try {
      names = await readdir(this.#dir);
    } catch (error) {
      // any other error (such as a file in the directory's place) rejects: an empty list would make running
      // pods count as without a network, and they would be stopped
      if (codeOf(error) === 'ENOENT') return [];
      throw new FaultError(toFault(error, `list network attachments in ${this.#dir}`));
    }
    const ids = names.flatMap((name) =>
      name.endsWith('.json') ? (parseSandboxId(name.slice(0, -'.json'.length)) ?? []) : [],
    );
    return ids.toSorted();
  }

  // writes under another name and renames once the bytes are written, or durable: an intent is never torn
  async #write(id: SandboxId, name: string, text: string, isSynced: boolean): Promise<void> {
    const temporary = join(this.#dir, `.${name}${UNFINISHED}`);
    try {
      const handle = await this.#openNew(temporary);
      try {
        await handle.writeFile(text);
        if (isSynced) await handle.datasync();
      } finally {
        await handle.close();
      }
      await rename(temporary, join(this.#dir, name));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      this.#throw(id, error);
    }
  }

  /**
   * Creates the directory only after the open has failed: it is missing for the first pod alone, and checking
   * it each time costs two calls in the thread pool.
   */
  async #openNew(path: string): Promise<FileHandle> {
    try {
      return await open(path, NEW_FILE, 0o600);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    const above = dirname(this.#dir);
    await mkdir(above, { recursive: true, mode: 0o700 });
    // three files for each pod, which are deleted with it
    await spreadSubdirectories(above);
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
    throw new FaultError(toFault(error, `access the stored network configuration of sandbox ${id}`));
  }
}

function networkJson(network: Network): CniJsonObject {
  return {
    name: network.name,
    cniVersion: network.cniVersion,
    disableGC: network.disableGc,
    plugins: network.plugins.map(({ raw }) => raw),
  };
}

function attachmentOf(id: SandboxId, object: CniJsonObject): Attachment | undefined {
  const parsed = parseList(JSON.stringify(member(object, 'network') ?? null));
  const ifName = asString(member(object, 'ifName'));
  const cniArgs = asString(member(object, 'cniArgs'));
  const runtimeConfig = asObject(member(object, 'runtimeConfig'));
  const pluginDirs = asArray(member(object, 'pluginDirs'));
  if (
    member(object, 'format') !== storedVersions.attachment ||
    !parsed.ok ||
    !ifName ||
    cniArgs === undefined
  )
    return undefined;
  if (runtimeConfig === undefined || pluginDirs === undefined) return undefined;
  const isText = (value: CniJson): value is string => typeof value === 'string';
  return {
    id,
    ifName,
    network: parsed.network,
    pluginDirs: pluginDirs.filter(isText),
    cniArgs,
    runtimeConfig,
  };
}
