// A runtime that waits where a test wants it to.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../support/run.ts';

/** runc that waits before a create while the gate is there, until somebody opens it. */
export class SlowRuntime {
  readonly directory = mkdtempSync(join(tmpdir(), 'troupe-slow-'));
  readonly path = join(this.directory, 'runc');
  readonly #gate = join(this.directory, 'gate');
  readonly #opened: FileHandle[] = [];

  constructor() {
    // Reading a FIFO waits for a writer. Without a gate everything goes straight on.
    writeFileSync(
      this.path,
      `#!/bin/sh\ncase " $* " in *" create "*) [ -p ${this.#gate} ] && read -r line < ${this.#gate};; esac\nexec /usr/sbin/runc "$@"\n`,
    );
    chmodSync(this.path, 0o755);
  }

  close(): void {
    execFileSync('mkfifo', [this.#gate]);
  }

  /**
   * Lets the one go on that waits. Open for both ways it doesn't wait for a reader, who may have been killed (fifo(7)).
   */
  async open(): Promise<void> {
    const gate = await open(this.#gate, 'r+');
    this.#opened.push(gate);
    await gate.write('go\n');
    rmSync(this.#gate);
  }

  /** Whether a create waits at the gate. */
  async isWaiting(): Promise<boolean> {
    const { stdout } = await run(['ps', '-eo', 'args']);
    return stdout
      .split('\n')
      .some((line) => line.startsWith(`/bin/sh ${this.path}`) && line.includes(' create '));
  }

  async dispose(): Promise<void> {
    for (const gate of this.#opened) await gate.close();
    rmSync(this.directory, { recursive: true });
  }
}
