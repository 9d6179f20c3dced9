// The launcher around runc, as the driver calls it: for containers whose bundle says so, and for no others.
import {
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { silentLog, type Log } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { driverLimits } from '../../../src/oci/runtime/bounds.ts';
import { launcherName } from '../../../src/oci/runtime/handlers/filtering.ts';
import type { HandlerConfig } from '../../../src/oci/runtime/handlers/handlers.ts';
import { shortSeccomp } from '../../../src/oci/runtime/spec/seccomp-short.ts';
import { encodeSpec, type OciSpec } from '../../../src/oci/runtime/spec/types.ts';
import type { ClockPort, TimerHandle } from '../../../src/ports/clock.ts';
import { runc14 } from '../../support/tools/go-tools.ts';
import { unless } from '../../support/skips/unless.ts';
import { until } from '../../support/eventually.ts';
import { wholeBytes } from '../../support/whole-bytes.ts';
import { answerFor, callingProgram } from '../../support/seccomp/calling-program.ts';
import { canHaveOwnLibrary, withOwnLibrary } from '../../support/seccomp/own-library.ts';
import type { OwnLibrary } from '../../support/seccomp/own-library.ts';
import { fx, missing, processesNaming, World } from './support.ts';
import type { Container, Running } from './support.ts';

const COUNT = /^Seccomp_filters:\s*(\d+)$/mu;

/** Writes a bundle in the short form, or one without a profile. */
async function write(world: World, isShort: boolean): Promise<Container> {
  const container = world.container(['sleep', '1000']);
  await world.driver.writeBundle(container.bundle, fx);
  if (!isShort) return container;
  const path = world.layout.configJson(container.id);
  const config = JSON.parse(readFileSync(path, 'utf8')) as OciSpec;
  const seccomp = shortSeccomp({ refusedPrograms: ['x32'] }, []);
  const changed = { ...config, linux: { ...config.linux, seccomp }, troupeShortSeccomp: 1 } as const;
  writeFileSync(path, encodeSpec(changed));
  return container;
}

async function runIn(world: World, isShort: boolean): Promise<Running> {
  const container = await write(world, isShort);
  const init = await world.driver.create({ ...container.bundle, effective: container.effective }, fx);
  world.driver.watch({ ...container.bundle, init });
  await world.driver.start(container.bundle, fx);
  await until(() => readFileSync(`/proc/${init.pid}/cmdline`, 'utf8').startsWith('sleep'));
  return { ...container, init };
}

/** The real clock, of which a test can let time pass. */
class SkewedClock implements ClockPort {
  readonly #real = realClock();
  skewMs = 0;
  nowNs(): bigint {
    return this.#real.nowNs();
  }
  monoMs(): number {
    return this.#real.monoMs() + this.skewMs;
  }
  /** The probe after a start, which a test lets run when it wants. */
  probeAgain: (() => void) | undefined;
  setTimeout(fn: () => void, ms: number): TimerHandle {
    if (ms === driverLimits.probeAgainMs) this.probeAgain = fn;
    return this.#real.setTimeout(fn, ms);
  }
  clearTimeout(handle: TimerHandle): void {
    this.#real.clearTimeout(handle);
  }
}

/** Nothing can be written in the directory, nor run from it, until the returned function is called. */
function block(directory: string): () => void {
  renameSync(directory, `${directory}.away`);
  writeFileSync(directory, '');
  return () => {
    rmSync(directory);
    renameSync(`${directory}.away`, directory);
  };
}

const why = process.arch === 'x64' ? missing() : 'a launcher for x64';

unless(describe, why)('the outer seccomp filter', () => {
  let world: World;
  beforeEach(async () => {
    world = await new World({
      handlers: [{ name: 'runc', path: await runc14(), kind: 'oci' }],
    }).open();
  });
  afterEach(async () => {
    expect(await world.close()).toEqual([]);
  });

  /** Runs a container whose bundle is in the short form, or unconfined. */
  const run = (isShort: boolean): Promise<Running> => runIn(world, isShort);

  const ofInit = ({ init }: Running): string | undefined =>
    COUNT.exec(readFileSync(`/proc/${init.pid}/status`, 'utf8'))?.[1];

  async function ofExec({ bundle, init }: Running, driver = world.driver): Promise<string | undefined> {
    const argv = ['cat', '/proc/self/status'];
    const { stdout } = await driver.execSync(
      { ...bundle, namespace: 'default', argv, init, execTimeoutMs: 0 },
      fx,
    );
    return COUNT.exec(Buffer.from(wholeBytes(stdout)).toString('utf8'))?.[1];
  }

  it('is around a container in the short form and its execs, also those of a restarted daemon', async () => {
    expect(world.driver.specHandler('').shortSeccomp).toBe(true);
    const container = await run(true);
    expect([ofInit(container), await ofExec(container)]).toEqual(['2', '2']);
    // with the switch off, and without the launcher's file
    const handlers = [{ name: 'runc', path: await runc14(), kind: 'oci', shortSeccomp: false }] as const;
    const next = world.newDriver({ handlers });
    await next.open();
    try {
      expect(next.specHandler('').shortSeccomp).toBe(false);
      rmSync(world.layout.standInsDir, { recursive: true });
      expect(await ofExec(container, next)).toBe('2');
    } finally {
      next.close();
    }
  });

  it('is not around others', async () => {
    const container = await run(false);
    expect([ofInit(container), await ofExec(container)]).toEqual(['0', '0']);
  });

  it('a launcher without its content is written again, also for two execs at once', async () => {
    const container = await run(true);
    const names = readdirSync(world.layout.standInsDir).filter((name) => name.startsWith('seccomp-'));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) truncateSync(join(world.layout.standInsDir, name));
    expect(await Promise.all([ofExec(container), ofExec(container)])).toEqual(['2', '2']);
  });

  it('launchers that no handler needs are removed at the start', async () => {
    const container = await run(true);
    const old = join(world.layout.standInsDir, 'seccomp-0123456789abcdef');
    writeFileSync(old, '');
    utimesSync(old, 0, 0);
    const next = world.newDriver({ handlers: [{ name: 'runc', path: await runc14(), kind: 'oci' }] });
    await next.open();
    try {
      expect(readdirSync(world.layout.standInsDir)).toEqual([launcherName(await runc14())]);
      expect(await ofExec(container, next)).toBe('2');
    } finally {
      next.close();
    }
  });

  it('the reason why it is not used is logged once', async () => {
    const script = join(world.root, 'script');
    writeFileSync(script, `#!/bin/sh\nexec ${await runc14()} "$@"\n`, { mode: 0o755 });
    const reasons: unknown[] = [];
    const log: Log = {
      ...silentLog,
      info: (fields, message) => {
        if (message === 'short form of RuntimeDefault is not used') reasons.push(fields);
      },
    };
    const next = world.newDriver({ handlers: [{ name: 'runc', path: script, kind: 'oci' }], log });
    await next.open();
    try {
      await next.probe();
      expect(next.specHandler('').shortSeccomp).toBe(false);
      const reason = 'its libraries are not known: it is a script, or of another libc than glibc';
      expect(reasons).toEqual([{ handler: 'runc', path: script, reason }]);
    } finally {
      next.close();
    }
  });

  it('a fault of a probe refuses no exec, is not recorded, and is over with a later probe', async () => {
    const container = await run(true);
    const handlers = [{ name: 'runc', path: await runc14(), kind: 'oci' }] as const;
    const clock = new SkewedClock();
    const next = world.newDriver({ handlers, clock });
    await next.open();
    try {
      const unblock = block(world.layout.standInsDir);
      await next.probe();
      unblock();
      expect(next.specHandler('').shortSeccomp).toBe(false);
      expect(await ofExec(container, next)).toBe('2');
      const later = world.newDriver({ handlers });
      await later.open();
      later.close();
      expect(later.specHandler('').shortSeccomp).toBe(true);
      expect(next.specHandler('').shortSeccomp).toBe(false);
      clock.skewMs += driverLimits.probeRetryMs;
      await next.writeBundle(world.container(['true']).bundle, fx);
      await until(() => next.specHandler('').shortSeccomp === true);
    } finally {
      next.close();
    }
  });

  it('an exec in a container of a handler that is not configured any more needs no probe', async () => {
    const container = await run(true);
    const messages: string[] = [];
    const log: Log = { ...silentLog, info: (_fields, message) => void messages.push(message) };
    const other = { name: 'other', path: await runc14(), kind: 'oci' } as const;
    const next = world.newDriver({ handlers: [other], defaultHandler: 'other', log });
    await next.open();
    try {
      const bundle = { ...container.bundle, handler: 'runc' };
      expect(await ofExec({ ...container, bundle }, next)).toBe('2');
      expect(messages).toEqual([]);
    } finally {
      next.close();
    }
  });

  it('an exec fails for a version of the filter that this release does not have', async () => {
    const container = await run(true);
    const path = world.layout.configJson(container.id);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(/(?<="troupeShortSeccomp":\s*)1/u, '2'));
    await expect(ofExec(container)).rejects.toThrow(/container .*: it was made for version 2 of the filter/u);
  });

  it('an exec fails where the launcher cannot be written', async () => {
    const container = await run(true);
    rmSync(world.layout.standInsDir, { recursive: true });
    writeFileSync(world.layout.standInsDir, '');
    await expect(ofExec(container)).rejects.toThrow(
      /put the outer seccomp filter around container .*: ENOTDIR|EEXIST/u,
    );
    expect(
      readdirSync(world.layout.containerDir(container.id)).filter((name) => name.startsWith('exec-')),
    ).toEqual([]);
  });
});

const whyNotLibrary =
  why === '' && !canHaveOwnLibrary(await runc14()) ? 'needs a runc that loads libseccomp' : why;

unless(describe, whyNotLibrary)('S73: an older libseccomp in place of the one that was probed', () => {
  const REFUSED =
    /by the short form of RuntimeDefault: .*\/runc was replaced, and now: it does not report libseccomp/u;
  let own: OwnLibrary;
  let handlers: readonly [HandlerConfig];
  let world: World;
  beforeAll(async () => {
    own = withOwnLibrary(await runc14());
    handlers = [{ name: 'runc', path: own.runc, kind: 'oci' }];
  });
  afterAll(() => own.remove());
  beforeEach(async () => {
    own.makeNewAgain();
    world = await new World({ handlers }).open();
    const program = join(world.rootfs, 'bin/clone3');
    writeFileSync(program, callingProgram([{ number: 435 }]), { mode: 0o755 });
  });
  afterEach(async () => {
    expect(await world.close()).toEqual([]);
  });

  /** What clone3 answers to an exec. */
  async function clone3({ bundle, init }: Running, driver = world.driver, context = fx): Promise<string> {
    const input = { ...bundle, namespace: 'default', argv: ['clone3'], init, execTimeoutMs: 0 };
    const { stdout } = await driver.execSync(input, context);
    return Buffer.from(wholeBytes(stdout)).toString('utf8');
  }
  const DENIED = answerFor(constants.errno.ENOSYS);

  /** A call whose runtime has its library replaced when it is about to run. */
  const withSwap = (on: string): typeof fx => ({
    ...fx,
    note: (step) => {
      if (step.on === on) own.makeOlder();
    },
  });

  it('is noticed by an exec, which is refused; also after a restart, until there is a new one again', async () => {
    const container = await runIn(world, true);
    expect(await clone3(container)).toBe(DENIED);
    own.makeOlder();
    await expect(clone3(container)).rejects.toThrow(REFUSED);
    expect(world.driver.specHandler('').shortSeccomp).toBe(false);
    const next = world.newDriver({ handlers });
    await next.open();
    try {
      expect(next.specHandler('').shortSeccomp).toBe(false);
      await expect(clone3(container, next)).rejects.toThrow(REFUSED);
      own.makeNewAgain();
      expect(await clone3(container, next)).toBe(DENIED);
      expect(next.specHandler('').shortSeccomp).toBe(true);
    } finally {
      next.close();
    }
  });

  it('is noticed by an exec that has begun: its process is killed', async () => {
    const container = await runIn(world, true);
    await expect(clone3(container, world.driver, withSwap('runc exec'))).rejects.toThrow(REFUSED);
    const left = readdirSync(world.layout.containerDir(container.id)).filter((name) =>
      name.startsWith('exec-'),
    );
    expect(left).toEqual([]);
  });

  it('is noticed by a create, before the start', async () => {
    const { bundle, effective, id } = await write(world, true);
    await expect(world.driver.create({ ...bundle, effective }, withSwap('runc create'))).rejects.toThrow(
      REFUSED,
    );
    await until(() => processesNaming(id).length === 0);
  });

  it('is noticed when the next bundle is written, which has the allow-list then', async () => {
    expect(world.driver.specHandler('').shortSeccomp).toBe(true);
    own.makeOlder();
    await world.driver.writeBundle(world.container(['true']).bundle, fx);
    expect(world.driver.specHandler('').shortSeccomp).toBe(false);
  });

  it('a first probe, which may have met a fault that passes, is made again later', async () => {
    let asked = 0;
    const clock = new SkewedClock();
    const next = world.newDriver({
      clock,
      userNamespaces: async () => {
        asked += 1;
        return true;
      },
    });
    rmSync(world.layout.handlersDir, { recursive: true, force: true });
    await next.open();
    try {
      expect(asked).toBe(1);
      rmSync(join(world.layout.handlersDir, 'runc.probe'));
      clock.probeAgain?.();
      // until its last step: what it writes would be left after the test
      await until(() => asked === 2 && readdirSync(world.layout.handlersDir).includes('runc.probe'));
    } finally {
      next.close();
    }
  });

  it('a fault of a probe of other files refuses execs, until they change or some time has passed', async () => {
    const container = await runIn(world, true);
    const clock = new SkewedClock();
    const next = world.newDriver({ handlers, clock });
    await next.open();
    try {
      const blocked =
        /by the short form of RuntimeDefault: .*\/runc was replaced, and now: .*(?:ENOTDIR|EEXIST)/u;
      const fault = async (): Promise<void> => {
        own.makeNewAgain();
        const unblock = block(world.layout.standInsDir);
        await expect(clone3(container, next)).rejects.toThrow(blocked);
        unblock();
        await expect(clone3(container, next)).rejects.toThrow(blocked);
      };
      await fault();
      own.makeNewAgain();
      expect(await clone3(container, next)).toBe(DENIED);
      await fault();
      clock.skewMs += driverLimits.probeRetryMs;
      expect(await clone3(container, next)).toBe(DENIED);
      await fault();
      clock.skewMs += driverLimits.probeRetryMs;
      own.makeOlder();
      await expect(clone3(container, next)).rejects.toThrow(REFUSED);
    } finally {
      next.close();
    }
  });

  it('does not concern containers without the short form', async () => {
    const container = await runIn(world, false);
    own.makeOlder();
    expect(await clone3(container)).toBe(answerFor(constants.errno.EINVAL));
  });

  it('an exec is refused where the libraries of the runtime that took the place are not known', async () => {
    const container = await runIn(world, true);
    const script = join(world.root, 'script');
    writeFileSync(script, `#!/bin/sh\nexec ${own.runc} "$@"\n`, { mode: 0o755 });
    const next = world.newDriver({ handlers: [{ name: 'runc', path: script, kind: 'oci' }] });
    await next.open();
    try {
      await expect(clone3(container, next)).rejects.toThrow(
        /script was replaced, and now: its libraries are not known/u,
      );
    } finally {
      next.close();
    }
  });
});
