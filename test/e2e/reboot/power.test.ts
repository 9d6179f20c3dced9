// F20: the power is cut under pulls and pods. The file system loses what was not synced: all that was answered is there
// at the next start.
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxEntries } from '../../../scripts/support/busybox-image.ts';
import { type Image, imageOf, layerOf } from '../../../scripts/support/image.ts';
import { callSync, libc } from '../../../src/host/ffi/ffi.ts';
import { randomStream } from '../../sim/random.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, startUntilUp, untilTermed } from '../support/pods.ts';
import { makeMachine, type Machine } from './machine.ts';

const powerCut = injects('F20', 'ext4 is shut down without its log being written, under pulls and pods');

/** fs/ext4/ext4.h: _IOR('X', 125, __u32), and the flag that loses what is not on the disk yet. */
const EXT4_IOC_SHUTDOWN = 0x8004_587d;
const GOING_FLAGS_NOLOGFLUSH = 2;
const SEED = 20261122;
const ROUNDS = 6;
const IMAGES = 8;
/** Milliseconds of work, after the first answers, before the cut: some dozen operations. */
const LONGEST_MS = 1000;

const images: ReadonlyMap<string, Image> = new Map(
  Array.from({ length: IMAGES }, (_none, at) => [
    `test/image${at}:1`,
    imageOf({ Cmd: ['sh'] }, [
      layerOf(busyboxEntries(staticBusybox())),
      layerOf([{ type: 'file', path: 'number', mode: 0o644, content: `${at}`.repeat(100_000) }]),
    ]),
  ]),
);

/** What was answered before the cut. An operation without an answer may have happened or not. */
interface Answered {
  readonly pods: Set<string>;
  readonly removedPods: Set<string>;
  /** By name. */
  readonly images: Set<string>;
  readonly removedImages: Set<string>;
}

describePods('a machine whose power is cut', () => {
  let machine: Machine;
  // one for each user, since the order in which two would ask is chance
  const [random, whens] = [randomStream(SEED, 'images'), randomStream(SEED, 'cuts')];

  beforeAll(async () => {
    machine = await makeMachine('power', { diskBytes: 512 * 1024 * 1024, images });
  });
  afterAll(async () => await machine?.world.close());

  const podOf = (name: string) =>
    sandboxConfig({ name, hostNetwork: true, logDirectory: join(machine.world.logs, name) });

  /** Pods until a call fails; every third is removed. */
  async function pods(label: string, { pods: made, removedPods }: Answered): Promise<void> {
    const { runtime } = machine.world.client;
    for (let at = 0; ; at += 1) {
      const { podSandboxId } = await runtime.runPodSandbox({ config: podOf(`${label}-${at}`) });
      made.add(podSandboxId);
      if (at % 3 !== 2) continue;
      made.delete(podSandboxId);
      await runtime.removePodSandbox({ podSandboxId });
      removedPods.add(podSandboxId);
    }
  }

  /** Images until a call fails: those that are there are removed, those that are not are pulled. */
  async function pulls({ images: pulled, removedImages }: Answered, onAnswer: () => void): Promise<void> {
    const { image: service } = machine.world.client;
    for (let at = random.int(IMAGES); ; at = (at + 1 + random.int(2)) % IMAGES) {
      const image = { image: `${machine.world.registry}/test/image${at}:1` };
      const [from, to] = pulled.has(image.image) ? [pulled, removedImages] : [removedImages, pulled];
      from.delete(image.image);
      await (from === pulled ? service.removeImage({ image }) : service.pullImage({ image }));
      to.add(image.image);
      onAnswer();
    }
  }

  /** From now on the file system refuses everything and writes nothing more to the disk. */
  function cutPower(): void {
    const { instance } = machine.world;
    const fd = openSync(`/proc/${instance.pid()}/root${instance.root}`, 'r');
    const flag = Buffer.alloc(4);
    flag.writeUInt32LE(GOING_FLAGS_NOLOGFLUSH);
    const { errno } = callSync(libc.ioctl, fd, EXT4_IOC_SHUTDOWN, flag);
    closeSync(fd);
    expect(errno).toBe(0);
    powerCut.happened();
  }

  /** Every image that is listed runs, whether its pull was answered or not. */
  async function runEach(names: readonly string[], round: number): Promise<void> {
    const { runtime } = machine.world.client;
    const config = podOf(`run-${round}`);
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    for (const [at, image] of names.entries()) {
      const request = containerConfig({ name: `c${at}`, image, command: untilTermed(0), hostNetwork: true });
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: request,
      });
      await startUntilUp(machine.world.client, containerId);
      const number = /image(\d+):/u.exec(image)?.[1] ?? '';
      const { stdout } = await runtime.execSync({ containerId, cmd: ['cat', '/number'], timeout: 0n });
      expect(Buffer.from(stdout).toString('latin1')).toBe(number.repeat(100_000));
    }
  }

  unless(test, lacking('/sbin/mkfs.ext4', '/dev/loop-control'))(
    'F20 F94 I7 what was answered is there at each next start, and what is listed is whole',
    async () => {
      // images stay from round to round
      let names: readonly string[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const answered: Answered = {
          pods: new Set(),
          removedPods: new Set(),
          images: new Set(names),
          removedImages: new Set(),
        };
        let imageAnswers = 0;
        const work = [
          pods(`a${round}`, answered),
          pods(`b${round}`, answered),
          pulls(answered, () => (imageAnswers += 1)),
        ];
        const cut = new AbortController();
        // what fails before the cut is a failure of the test
        const early: unknown[] = [];
        const ended = Promise.all(
          work.map((one) =>
            one.catch((error: unknown) => void (cut.signal.aborted || early.push(String(error)))),
          ),
        );
        await until(() => early.length > 0 || (answered.pods.size > 0 && imageAnswers > 0));
        await delay(whens.int(LONGEST_MS));
        expect(early).toEqual([]);
        cut.abort();
        cutPower();
        await machine.reboot();
        await ended;
        const { runtime, image: service } = machine.world.client;
        const listed = (await runtime.listPodSandbox({})).items.map(({ id }) => id);
        expect([...answered.pods].filter((id) => !listed.includes(id))).toEqual([]);
        expect([...answered.removedPods].filter((id) => listed.includes(id))).toEqual([]);
        names = (await service.listImages({})).images.flatMap(({ repoTags }) => repoTags);
        expect([...answered.images].filter((name) => !names.includes(name))).toEqual([]);
        expect([...answered.removedImages].filter((name) => names.includes(name))).toEqual([]);
        await runEach(names, round);
        for (const { id } of (await runtime.listPodSandbox({})).items) {
          await runtime.stopPodSandbox({ podSandboxId: id });
          await runtime.removePodSandbox({ podSandboxId: id });
        }
        expect((await runtime.listPodSandbox({})).items).toEqual([]);
      }
    },
  );
});
