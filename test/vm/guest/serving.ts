// Who serves the node, as systemd, the root's lock and the CRI socket say; and lists over new connections meanwhile.
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { criClient } from '../../../scripts/support/cri-client.ts';
import { lockHolder } from '../../../src/host/files/directory-lock.ts';
import { listenerAt } from '../../../src/host/io/socket-peer.ts';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { until } from '../../support/eventually.ts';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { served, shown, SOCKET, systemctl } from './node.ts';

const ROOT = '/var/lib/troupe';
const DROP_IN = '/etc/systemd/system/troupe.service.d/takeover.conf';
/** Beside the checkout, which is mounted. */
export const NEXT = '/opt/troupe-next';

/** Installs the program a second time, where `systemctl reload` has it take over. @param more lines for the unit */
export async function installNext(more: readonly string[]): Promise<void> {
  rmSync(NEXT, { recursive: true, force: true });
  mkdirSync(NEXT);
  for (const name of ['bin', 'src', 'deploy', 'package.json'])
    cpSync(join(checkout, name), join(NEXT, name), { recursive: true });
  symlinkSync(join(checkout, 'node_modules'), join(NEXT, 'node_modules'));
  const reload = ['ExecReload=', `ExecReload=${NEXT}/bin/troupe reload`];
  writeFileSync(DROP_IN, `${['[Service]', ...reload, ...more].join('\n')}\n`);
  await systemctl('daemon-reload');
}

/** The unit as it was. */
export async function removeNext(): Promise<void> {
  rmSync(DROP_IN);
  rmSync(NEXT, { recursive: true });
  await systemctl('daemon-reload');
}

/** The unit's main process; 0 without one. */
export const mainPid = async (): Promise<number> => Number(await shown('MainPID'));

/** Waits for another main process than these, which serves; answers it. */
export async function servedByOther(...before: readonly number[]): Promise<number> {
  const main = await until(async () => {
    const pid = await mainPid();
    return pid !== 0 && !before.includes(pid) && pid;
  });
  await served();
  return main;
}

/** The process that serves, by all who know one. */
export async function whoServes() {
  const listener = await listenerAt(SOCKET);
  return {
    systemd: await mainPid(),
    lock: await lockHolder(ROOT),
    socket: typeof listener === 'object' ? listener.pid : listener,
  };
}

/** Settles once systemd has taken note of its end. */
export const untilEnded = async (pid: number): Promise<unknown> =>
  await until(() => processStat(pid) === undefined);

/** What systemd and troupe have logged since the unit's last start. */
export const logSinceStart = async (): Promise<string> =>
  await runOrThrow([
    'journalctl',
    '--no-pager',
    '--output=cat',
    `_SYSTEMD_INVOCATION_ID=${await shown('InvocationID')}`,
  ]);

/** One list over a connection of its own, as a client that has just started: the reason why it failed. */
export async function listAnew(): Promise<string | undefined> {
  const client = criClient(SOCKET, false);
  try {
    await client.runtime.listPodSandbox({});
    return undefined;
  } catch (error) {
    return String(error);
  } finally {
    client.close();
  }
}

/** No daemon listens. A call that a crash has cut has another reason. */
export const isRefused = (reason: string | undefined): boolean =>
  reason !== undefined && /ECONNREFUSED|ENOENT|EACCES|EAGAIN/u.test(reason);

/** Lists that begin all the time, each over a connection of its own, until `end`. */
export class ListsAnew {
  static readonly #EVERY_MS = 100;
  /** A list that waits does not hold up the next one: as many as begin within a minute without a daemon. */
  static readonly #AT_ONCE = 600;
  readonly #ended = new AbortController();
  readonly #all: Promise<string | undefined>[] = [];
  readonly #beginning: Promise<void>;
  #waiting = 0;

  constructor() {
    this.#beginning = this.#beginAll();
  }

  /** Their number so far. */
  get begun(): number {
    return this.#all.length;
  }

  /** Begins one now. */
  begin(): void {
    this.#waiting += 1;
    this.#all.push(listAnew().finally(() => (this.#waiting -= 1)));
  }

  /** Why each failed, in the order in which they began; once the last one has its answer. */
  async end(): Promise<readonly (string | undefined)[]> {
    this.#ended.abort();
    await this.#beginning;
    return await Promise.all(this.#all);
  }

  async #beginAll(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      if (this.#waiting < ListsAnew.#AT_ONCE) this.begin();
      await delay(ListsAnew.#EVERY_MS);
    }
  }
}
