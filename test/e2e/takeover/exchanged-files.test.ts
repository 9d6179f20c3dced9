// F93: a package has put other files in the place of the daemon's, here broken ones, or removed them, and the daemon
// goes on with its own: before it hands over, and later, while it holds sessions of before.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CDIDeviceSchema, ContainerConfigSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { fakeCriu } from '../../integration/daemon/fake-criu.ts';
import { partsOf, requestFor } from '../../integration/daemon/restore-world.ts';
import { checkpointTar } from '../../integration/checkpoint/archives.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { failing, STRACE } from '../faults/strace.ts';
import { describePods } from '../support/crictl.ts';
import { sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { exchangeProgram, installProgram } from './installed-program.ts';

const CDI = `cdiVersion: 0.6.0
kind: example.com/device
devices:
  - name: one
    containerEdits:
      env: [FROM_YAML=yes]
`;
const PAGE = /"page":"(http:[^"]+)"/u;

describePods('a daemon whose files were exchanged', () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-exchanged-'));
  const fake = fakeCriu();
  let world: World;
  let podSandboxId: string;
  let image: string;

  beforeAll(async () => {
    const program = await installProgram(directory);
    mkdirSync(join(directory, 'cdi'));
    writeFileSync(join(directory, 'cdi/device.yaml'), CDI);
    world = await makeWorld({
      name: 'exch',
      network: 'host-only',
      handlers: { fake: fake.runtime },
      config: `[runtime]\ncriu = "${fake.criu}"\nrestore = true\ncdi_dirs = ["${directory}/cdi"]`,
      // in the place of the checkout's
      before: () => ['sh', '-c', 'shift && exec "$0" "$@"', program],
    });
    expect(readFileSync(`/proc/${world.instance.pid()}/cmdline`, 'utf8')).toContain(
      join(directory, 'program/dist/launch.cjs'),
    );
    const paths = exchangeProgram(directory);
    for (const name of ['bin/node', 'koffi.node', 'worker.js', 'kernel-worker.js', 'checkpoint-reader.js'])
      expect(paths.filter((path) => path.endsWith(name)).length, name).toBeGreaterThan(0);
    // whoever reads one of them now does not get far
    const { code } = await run(['/bin/sh', join(directory, 'program/bin/troupe'), 'version']);
    expect(code).not.toBe(0);
  });
  afterAll(async () => {
    try {
      const { runtime } = world.client;
      for (const { id } of (await runtime.listPodSandbox({})).items) {
        await runtime.stopPodSandbox({ podSandboxId: id });
        await runtime.removePodSandbox({ podSandboxId: id });
      }
      expect(await world.leftovers()).toEqual([]);
    } finally {
      fake.remove();
      rmSync(directory, { recursive: true });
      await world.close();
    }
  });

  const made = async (from: string, attempt: number, cdi: readonly string[] = []): Promise<string> => {
    const CDIDevices = cdi.map((name) => create(CDIDeviceSchema, { name }));
    const config = create(ContainerConfigSchema, {
      ...requestFor(from, fake.directory, { name: 'main', attempt }),
      CDIDevices,
    });
    const { containerId } = await world.client.runtime.createContainer({ podSandboxId, config });
    await world.client.runtime.startContainer({ containerId });
    return containerId;
  };
  const inside = async (containerId: string, ...cmd: string[]): Promise<string> => {
    const { stdout } = await world.client.runtime.execSync({ containerId, cmd, timeout: 60n });
    return Buffer.from(stdout).toString().trim();
  };

  test('F93 a pull starts a storage worker, which unpacks', async () => {
    image = await world.pull();
    const { podSandboxId: id } = await world.client.runtime.runPodSandbox({
      config: sandboxConfig({ name: 'pod', logDirectory: join(world.logs, 'pod'), hostNetwork: true }),
      runtimeHandler: 'fake',
    });
    podSandboxId = id;
    expect(await inside(await made(image, 0), 'echo', 'unpacked')).toBe('unpacked');
  });

  test('F93 a container comes from a checkpoint, which another process reads', async () => {
    const archive = join(fake.directory, 'c.tar');
    writeFileSync(archive, checkpointTar(partsOf(image)));
    expect(await inside(await made(archive, 1), 'cat', '/etc/new')).toBe('new');
  });

  test('F93 a CDI file in YAML is read', async () => {
    const id = await made(image, 2, ['example.com/device=one']);
    expect(await inside(id, 'sh', '-c', 'echo $FROM_YAML')).toBe('yes');
  });

  test('F93 a reload turns on the page, which is that of the daemon', async () => {
    const file = join(world.instance.directory, 'troupe.toml');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, `${text}\n[introspection]\nhttp_address = "127.0.0.1:0"\n`);
    process.kill(world.instance.pid(), 'SIGHUP');
    await expect.poll(() => world.instance.log()).toMatch(PAGE);
    const [, origin = ''] = PAGE.exec(await world.instance.log()) ?? [];
    for (const name of ['main.js', 'index.html', 'icon.svg']) {
      const served = await (await fetch(`${origin}/${name}`)).text();
      expect(served).toBe(readFileSync(join(checkout, 'src/introspection/page', name), 'utf8'));
    }
  });

  unless(test, lacking(STRACE))('F93 the kernel thread that is lost is started again', async () => {
    const { runtime } = world.client;
    const configOf = (name: string) => sandboxConfig({ name, logDirectory: join(world.logs, name) });
    const { podSandboxId: first } = await runtime.runPodSandbox({ config: configOf('first') });
    // the thread enters a pod's namespace to read its counters, does not come back, and is given up
    const fault = await failing(world.instance.pid(), {
      inject: 'setns:error=EPERM:when=2+',
      file: join(directory, 'trace'),
    });
    await runtime.podSandboxStats({ podSandboxId: first });
    expect((await fault.leave()).length).toBeGreaterThan(0);
    await runtime.runPodSandbox({ config: configOf('second') });
  });
});
