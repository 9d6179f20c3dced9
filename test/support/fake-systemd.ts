// What systemd does for a service, as far as the daemon sees it: the notification socket, the file descriptor store and
// the variables of its environment (sd_notify(3), sd_listen_fds(3)).
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from '../../src/host/ffi/constants.ts';
import { must } from '../../src/host/ffi/errno.ts';
import { callSync, libc } from '../../src/host/ffi/ffi.ts';
import { closeAll, receiveMessage } from '../../src/host/io/descriptor-message.ts';
import { pollReadable } from '../../src/host/io/poll.ts';
import type { Poll } from '../../src/host/io/poll.ts';
import { unixAddress } from '../../src/host/io/unix-address.ts';

export class FakeSystemd {
  readonly #directory = mkdtempSync(join(tmpdir(), 'troupe-systemd-'));
  readonly #socket: number;
  readonly #poll: Poll;
  readonly #store = new Map<string, readonly number[]>();
  readonly #watchdogMs: number | undefined;
  /** Everything received, each message as its lines, without the descriptors. */
  readonly messages: string[] = [];
  #lifeAtMs = Infinity;

  constructor({ watchdogMs }: { readonly watchdogMs?: number } = {}) {
    this.#watchdogMs = watchdogMs;
    this.#socket = must(callSync(libc.socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'make', 'socket');
    const address = unixAddress(this.path);
    must(callSync(libc.bind, this.#socket, address, address.length), 'bind', this.path);
    this.#poll = pollReadable(this.#socket, () => this.#receive());
  }

  get path(): string {
    return join(this.#directory, 'notify');
  }

  /** Names in the store, sorted; one for each descriptor. */
  get stored(): readonly string[] {
    return [...this.#store].flatMap(([name, fds]) => fds.map(() => name)).toSorted();
  }

  /** Descriptors from 3 on for the service, in the order of the names in its environment. */
  get descriptors(): readonly number[] {
    return [...this.#store.values()].flat();
  }

  /** Beside LISTEN_PID, which only the service itself knows. */
  get environment(): Readonly<Record<string, string>> {
    const names = [...this.#store].flatMap(([name, fds]) => fds.map(() => name));
    const passed =
      names.length === 0 ? {} : { LISTEN_FDS: String(names.length), LISTEN_FDNAMES: names.join(':') };
    const watchdog = this.#watchdogMs === undefined ? {} : { WATCHDOG_USEC: String(this.#watchdogMs * 1000) };
    return { NOTIFY_SOCKET: this.path, ...passed, ...watchdog };
  }

  /**
   * Milliseconds since the service has last reported that it lives, first by READY=1; after its WatchdogSec= systemd
   * ends it.
   */
  get silentMs(): number {
    return performance.now() - this.#lifeAtMs;
  }

  /** As a socket unit: the descriptor is passed to each start. */
  pass(name: string, fd: number): void {
    this.#store.set(name, [...(this.#store.get(name) ?? []), fd]);
  }

  #receive(): void {
    for (;;) {
      const { bytes, fds, errno } = receiveMessage(this.#socket);
      if (errno !== 0) return;
      const text = bytes.toString();
      this.messages.push(text);
      const said = new Map(text.split('\n').map((line) => [line.split('=')[0], line.split('=')[1] ?? '']));
      if (said.get('READY') === '1' || said.get('WATCHDOG') === '1') this.#lifeAtMs = performance.now();
      const name = said.get('FDNAME') ?? 'stored';
      if (said.get('FDSTORE') === '1') this.#store.set(name, [...(this.#store.get(name) ?? []), ...fds]);
      else closeAll(fds);
      if (said.get('FDSTOREREMOVE') === '1') this.#drop(name);
    }
  }

  #drop(name: string): void {
    closeAll(this.#store.get(name) ?? []);
    this.#store.delete(name);
  }

  close(): void {
    this.#poll.close();
    closeSync(this.#socket);
    for (const name of [...this.#store.keys()]) this.#drop(name);
    rmSync(this.#directory, { recursive: true });
  }
}
