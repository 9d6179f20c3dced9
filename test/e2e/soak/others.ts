/** Streaming sessions, images, reloads of the configuration and kills of the daemon. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Image } from '../../../scripts/support/image.ts';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import { connectSpdy, openCommand } from '../../integration/streaming/clients.ts';
import { randomStream } from '../../sim/random.ts';
import { run } from '../../support/run.ts';
import { abortSession, silentContainer, type StreamTarget } from '../streaming/aborts.ts';
import { untilFound } from '../support/parts.ts';
import { again, type Load, type Worker } from './load.ts';

const SESSION_MS = 1_500;
/** ms until a whole session must be over. */
const SESSION_WITHIN_MS = 60_000;
/** Bytes that an exec gives, and that a forwarded connection gives back. */
const EXEC_BYTES = 65_536;
const ECHO = 'typed\n';
const PULL_MS = 5_000;
/** Between two removals of all unused images by `troupe gc`. */
const GC_EACH = 20;
const RELOAD_MS = 15_000;
/** One reload in so many meets a file that can't be parsed. */
const BROKEN_EACH = 4;
/** Kills in each quarter that has kills: one each 150 s of a run of two hours. */
const KILLS = 12;
/** ms between two kills at least: a daemon that is back does something in between. */
const KILL_MS = 10_000;

/** Images beside the one that pods run, each with a layer of its own. */
const IMAGES = 8;
const LAYER_BYTES = 400_000;

/** The images that are pulled and removed, by name. */
export function soakImages(): ReadonlyMap<string, Image> {
  const random = randomStream(1, 'soak images');
  const bytes = (size: number): Buffer =>
    Buffer.from(Uint8Array.from({ length: size }, () => random.int(256)));
  const shared = layerOf([{ type: 'file', path: 'shared', mode: 0o644, content: bytes(LAYER_BYTES) }]);
  return new Map(
    Array.from({ length: IMAGES }, (_none, at) => {
      const own = layerOf([
        { type: 'file', path: `own-${at}`, mode: 0o644, content: bytes((at + 1) * LAYER_BYTES) },
      ]);
      return [`test/soak-${at}:1`, imageOf({ Cmd: ['sh'] }, [shared, own])];
    }),
  );
}

/** Sessions: two in three are left by their client at a random point, the others end whole. */
export const streaming: Worker = async (load) => {
  const target = await silentContainer(load.world);
  let index = 0;
  await again(load, 'streaming sessions', SESSION_MS, async () => {
    index += 1;
    if (index % 6 === 0) await wholeExec(target);
    else if (index % 6 === 3) await wholeForward(target);
    else await abortSession(target, load.random);
  });
  const { runtime } = load.world.client;
  const { podSandboxId } = target;
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
};

async function wholeExec({ world, containerId }: StreamTarget): Promise<void> {
  const { url } = await world.client.runtime.exec({
    containerId,
    cmd: ['head', '-c', String(EXEC_BYTES), '/dev/zero'],
    stdout: true,
    stderr: true,
  });
  const { client } = await connectSpdy(url, 'v4.channel.k8s.io');
  try {
    const { stdout } = await openCommand(client, 'stdout', 'stderr');
    const within = delay(SESSION_WITHIN_MS, undefined, { ref: false });
    const size = (await Promise.race([stdout.all, within]))?.length;
    if (size !== EXEC_BYTES) throw new Error(`exec gave ${size} of ${EXEC_BYTES} bytes`);
  } finally {
    client.close();
  }
}

async function wholeForward({ world, podSandboxId }: StreamTarget): Promise<void> {
  const { url } = await world.client.runtime.portForward({ podSandboxId, port: [7000] });
  const { client } = await connectSpdy(url, 'portforward.k8s.io');
  try {
    const [, data] = [
      await client.open({ streamtype: 'error', port: '7000', requestid: '0' }),
      await client.open({ streamtype: 'data', port: '7000', requestid: '0' }),
    ];
    data.write(ECHO);
    await untilFound({ what: 'what a forwarded connection gives back', withinMs: SESSION_WITHIN_MS }, () =>
      Promise.resolve(data.size() === ECHO.length),
    );
    data.end();
  } finally {
    client.close();
  }
}

/** Pulls and removals, as the kubelet's garbage collection; now and then `troupe gc`. */
export const pulling: Worker = async (load) => {
  const { world, meter } = load;
  const { image } = world.client;
  let index = 0;
  await again(load, 'images pulled and removed', PULL_MS, async () => {
    index += 1;
    // what a kill has kept from being removed
    for (const { id } of (await image.listImages({})).images)
      if (id !== load.image) await image.removeImage({ image: { image: id } });
    const name = `${world.registry}/test/soak-${index % IMAGES}:1`;
    const { imageRef } = await image.pullImage({ image: { image: name } });
    if ((await image.imageStatus({ image: { image: name } })).image?.id === undefined)
      throw new Error(`${name} is not present after its pull`);
    if (index % GC_EACH !== 0) await image.removeImage({ image: { image: imageRef } });
    else await collect(load);
    const listed = (await image.listImages({})).images.length;
    if (listed !== 1) meter.found(`${listed} images are listed after ${name} was removed`);
  });
};

async function collect({ world: { instance }, meter }: Load): Promise<void> {
  const [program, , ...place] = instance.argv;
  const since = meter.now();
  const { code, stderr } = await run([program, 'gc', ...place]);
  if (code === 0) meter.count('collections by troupe gc');
  else meter.failed('troupe gc', since, `ended with ${code}: ${stderr}`);
}

/** SIGHUP with another log level, and sometimes with a file that can't be parsed before it is whole again. */
export const reloading: Worker = async (load) => {
  const { instance } = load.world;
  const path = join(instance.directory, 'troupe.toml');
  const text = await readFile(path, 'utf8');
  const hangUp = async (content: string): Promise<void> => {
    await writeFile(path, content);
    process.kill(instance.pid(), 'SIGHUP');
    // reloads are done a few per second
    await delay(RELOAD_MS / 10);
  };
  let index = 0;
  await again(load, 'reloads', RELOAD_MS, async () => {
    index += 1;
    await load.meter.alone(async () => {
      if (index % BROKEN_EACH === 0) await hangUp(`${text}\n[broken`);
      await hangUp(index % 2 === 0 ? text : text.replace('level = "warn"', 'level = "error"'));
    });
  });
};

/**
 * SIGKILL in the first and the third quarter of the run only: over the others the memory of one process is seen.
 */
export const killing: Worker = async ({ world: { instance }, meter, over, forMs }) => {
  const startedAt = performance.now();
  const everyMs = Math.max(KILL_MS, forMs / (4 * KILLS));
  for (;;) {
    await delay(everyMs, undefined, { signal: over }).catch(() => undefined);
    if (over.aborted) return;
    const quarter = Math.floor((4 * (performance.now() - startedAt)) / forMs);
    if (quarter % 2 === 1) continue;
    await meter.alone(async () => {
      meter.changed();
      await instance.kill();
      await instance.start();
      meter.changed();
    });
  }
};
