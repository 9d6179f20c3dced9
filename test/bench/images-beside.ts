// Pods that start while ten images are pulled, beside pods that start alone: a node that gets new work does both.
import { setTimeout as delay } from 'node:timers/promises';
import { type Image, imageOf } from '../../scripts/support/image.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { startPod } from './daemon-pods.ts';
import { total } from './floor.ts';
import { makeContent } from './images-content.ts';

const PULLS = 10;
/** MB of each image's one layer. */
const LAYER_MEGABYTES = 11;
const PODS = 12;
const WARM_UP = 5;
/** ms from the first pulls to the first pod: unpacking is under way by then. */
const UNDER_WAY_MS = 300;
const DEADLINE_MS = 600_000;

export interface BesideRow {
  /** ms of RunPodSandbox, CreateContainer and StartContainer on the host network. */
  readonly alone: number[];
  readonly beside: number[];
  /** Pulls that ended while pods were started. */
  pulls: number;
}

/** In turn: some pods alone, as many while ten pulls are always under way. */
export async function measureBeside(rounds: number): Promise<BesideRow> {
  const { image } = await makeContent(
    Array.from({ length: PULLS }, () => LAYER_MEGABYTES),
    'gzip',
  );
  const images = new Map<string, Image>(
    image.layers.map((layer, index) => [`bench/part-${index}:1`, imageOf({ Cmd: ['true'] }, [layer])]),
  );
  const world = await makeWorld({ name: 'imgp', images, stateInMemory: true, logLevel: 'info' });
  const row: BesideRow = { alone: [], beside: [], pulls: 0 };
  try {
    const busybox = await world.pull();
    await startSome(world, busybox, WARM_UP);
    for (let round = 0; round < rounds; round += 1) {
      row.alone.push(...(await startSome(world, busybox, PODS)));
      const pulling = new Pulling(world, [...images.keys()]);
      await delay(UNDER_WAY_MS);
      row.beside.push(...(await startSome(world, busybox, PODS)));
      row.pulls += await pulling.end();
      console.log(`pods alone and beside ten pulls, round ${round + 1}: ${row.pulls} pulls so far`);
    }
    return row;
  } finally {
    await world.close();
  }
}

async function startSome(world: World, image: string, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const pod = await startPod(world, image, 'host');
    times.push(total(pod.startParts));
    await pod.stop();
  }
  return times;
}

/** Each image is pulled, removed and pulled again until the end. */
class Pulling {
  readonly #all: Promise<number>[];
  #isOver = false;

  constructor({ client, registry }: World, names: readonly string[]) {
    this.#all = names.map(async (name) => {
      const image = { image: `${registry}/${name}` };
      let pulls = 0;
      do {
        await client.image.pullImage({ image }, { deadlineMs: DEADLINE_MS });
        pulls += 1;
        await client.image.removeImage({ image }, { deadlineMs: DEADLINE_MS });
      } while (!this.#isOver);
      return pulls;
    });
  }

  /** Lets those under way end; how many there were in all. */
  async end(): Promise<number> {
    this.#isOver = true;
    const counts = await Promise.all(this.#all);
    return counts.reduce((sum, count) => sum + count, 0);
  }
}
