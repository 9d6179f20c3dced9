// The launcher around runc, as the driver calls it: for containers whose bundle says so, and for no others.
import { readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, describe } from 'vitest';
import { shortSeccomp } from '../../../src/oci/runtime/spec/seccomp-short.ts';
import { encodeSpec } from '../../../src/oci/runtime/spec/types.ts';
import type { OciSpec } from '../../../src/oci/runtime/spec/types.ts';
import { runc14 } from '../../support/tools/go-tools.ts';
import { unless } from '../../support/skips/unless.ts';
import { until } from '../../support/eventually.ts';
import { wholeBytes } from '../../support/whole-bytes.ts';
import { fx, missing, World } from './support.ts';
import type { Running } from './support.ts';

const COUNT = /^Seccomp_filters:\s*(\d+)$/mu;

unless(describe, process.arch === 'x64' ? missing() : 'a launcher for x64')(
  'the outer seccomp filter',
  () => {
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
    async function run(isShort: boolean): Promise<Running> {
      const container = world.container(['sleep', '1000']);
      await world.driver.writeBundle(container.bundle, fx);
      if (isShort) {
        const path = world.layout.configJson(container.id);
        const config = JSON.parse(readFileSync(path, 'utf8')) as OciSpec;
        const seccomp = shortSeccomp({ refusedPrograms: ['x32'] }, []);
        const changed = { ...config, linux: { ...config.linux, seccomp }, troupeShortSeccomp: 1 } as const;
        writeFileSync(path, encodeSpec(changed));
      }
      const init = await world.driver.create({ ...container.bundle, effective: container.effective }, fx);
      world.driver.watch({ ...container.bundle, init });
      await world.driver.start(container.bundle, fx);
      await until(() => readFileSync(`/proc/${init.pid}/cmdline`, 'utf8').startsWith('sleep'));
      return { ...container, init };
    }

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

    it('an exec fails for a version of the filter that this release does not have', async () => {
      const container = await run(true);
      const path = world.layout.configJson(container.id);
      const text = readFileSync(path, 'utf8');
      writeFileSync(path, text.replace(/(?<="troupeShortSeccomp":\s*)1/u, '2'));
      await expect(ofExec(container)).rejects.toThrow(
        /container .*: it was made for version 2 of the filter/u,
      );
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
  },
);
