/** `troupe pull`: PullImage, with a bar for each layer while it is under way. */
import { cliLimits } from '../bounds.ts';
import { pause } from '../../host/clock/wait.ts';
import type { Actor, PullLayer } from '../../gen/introspection/v1/introspection_pb.ts';
import { imageClient, imageFault } from '../../introspection/image-client.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { age, bytes, shortId } from './text.ts';

/**
 * Credentials are those that the node keeps (`images.auth_files`). Ctrl-C ends the download unless others wait for it.
 */
export async function pull(command: Command): Promise<number> {
  const { line, screen, json } = command;
  const [reference = ''] = line.words;
  const id = await pullShown(command, reference);
  if (json) writeJson(screen, { reference, id });
  else screen.line(id);
  return EXIT.ok;
}

/**
 * PullImage; the image's id. A terminal shows a bar for each layer. Elsewhere one line follows the end of the pull,
 * because what a poll sees of a short pull depends on time; and none if the output is JSON.
 */
export async function pullShown(
  command: Command,
  reference: string,
  word: 'pulled' | 'imported' = 'pulled',
): Promise<string> {
  const { client, json, signal, screen } = command;
  const before = new Set((await client.list({ kind: 'pull' })).actors.map(({ address }) => address));
  const { socket } = await client.status({});
  const ended = new AbortController();
  const answer = imageClient(socket)
    .pullImage({ image: { image: reference } }, { signal })
    .catch((thrown: unknown) => Promise.reject(imageFault(thrown, socket)))
    .finally(() => ended.abort());
  // awaited below; a pull that fails at once must not count as an unhandled rejection until then
  answer.catch(() => undefined);
  const { redraw } = screen;
  if (!json && redraw !== undefined) {
    let layers: readonly PullLayer[] = [];
    const draw = (): void => redraw(layers.map((layer) => bar(layer, screen.noteColumns)));
    await follow(command, ended.signal, (actors) => {
      layers = mine(actors, reference, before)?.layers ?? layers;
      draw();
    });
    await answer;
    // the last poll was shortly before the end
    layers = layers.map((layer) => ({ ...layer, present: true }));
    draw();
  }
  const { imageRef } = await answer;
  if (!json && redraw === undefined) {
    const { images } = await client.images({});
    const size = images.find(({ id }) => id === imageRef)?.sizeBytes;
    // a client that removes images may have been faster
    screen.note(`${word} ${reference}${size === undefined ? '' : `, ${bytes(Number(size))}`}`);
  }
  return imageRef;
}

/** The pull that this call began or joined: its full name ends with the requested one. */
function mine(actors: readonly Actor[], reference: string, before: ReadonlySet<string>): Actor | undefined {
  const named = actors.filter(
    ({ name }) =>
      name === reference ||
      name.endsWith(`/${reference}`) ||
      name.endsWith(`/${reference}:latest`) ||
      name === `${reference}:latest`,
  );
  return named.find(({ address }) => !before.has(address)) ?? named[0];
}

async function follow(
  { client, clock }: Command,
  ended: AbortSignal,
  onList: (actors: readonly Actor[]) => void,
): Promise<void> {
  while (!ended.aborted) {
    // an error is in the answer of the pull itself
    const list = await client.list({ kind: 'pull' }).catch(() => undefined);
    onList(list?.actors ?? []);
    // rejects when the pull has ended, which the loop checks
    await pause(clock, cliLimits.progressMs, ended).catch(() => undefined);
  }
}

const HEX_AT = 'sha256:'.length;
const MS_NS = 1_000_000n;

/**
 * One line: the layer, bytes downloaded, rate, time left, and a bar that fills the rest of the line if there is room.
 */
export function bar(
  { digest, sizeBytes, downloadedBytes, present, bytesPerSecond, remainingMs }: PullLayer,
  columns: number,
): string {
  const size = Number(sizeBytes);
  const share = present ? 1 : size === 0 ? 0 : Math.min(1, Number(downloadedBytes) / size);
  const head = shortId(digest.slice(HEX_AT));
  const rate = bytesPerSecond === 0n ? '' : `, ${bytes(Number(bytesPerSecond))}/s`;
  const left = remainingMs === undefined ? '' : `, ${age(remainingMs * MS_NS)} left`;
  const tail = present
    ? `${bytes(size)} done`
    : `${bytes(Number(downloadedBytes))} of ${bytes(size)}${rate}${left}`;
  const room = columns - head.length - tail.length - ' [] '.length;
  if (room < 1) return `${head} ${tail}`;
  const filled = Math.floor(room * share);
  return `${head} [${'='.repeat(filled)}${' '.repeat(room - filled)}] ${tail}`;
}
