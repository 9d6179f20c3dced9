/** `troupe images` and `troupe gc`: images on the node, what keeps each, and which can be removed. */
import { plainOf } from '../../introspection/client.ts';
import { imageClient, imageFault } from '../../introspection/image-client.ts';
import type { Image, ImageLayer, ImagesResponse } from '../../gen/introspection/v1/introspection_pb.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';
import { age, bytes, shortAddress, shortId, table } from './text.ts';

const HEX_AT = 'sha256:'.length;

export async function images(command: Command): Promise<number> {
  const answer = await command.client.images({});
  if (command.json) writeJson(command.screen, plainOf(answer));
  else
    for (const text of imageLines(
      answer,
      command.clock.nowNs(),
      command.screen,
      command.line.flags.has('layers'),
    ))
      command.screen.line(text);
  return EXIT.ok;
}

/** The lines of the table; with `layers` each image is followed by its layers, lowest first. */
export function imageLines(
  answer: ImagesResponse,
  nowNs: bigint,
  screen: Screen,
  layers: boolean,
): readonly string[] {
  if (answer.images.length === 0 && answer.otherLayers.length === 0) return ['no images'];
  const rows = answer.images.flatMap((image) => [
    [
      nameOf(image),
      shortDigest(image.id),
      bytes(Number(image.sizeBytes)),
      age(nowNs - image.pulledNs),
      whyImage(image),
    ],
    ...(layers ? image.layers.map((layer) => layerRow(layer, image)) : []),
  ]);
  const others = answer.otherLayers.map((layer) => layerRow(layer, undefined));
  const columns = [
    { title: 'IMAGE', least: 20 },
    { title: 'ID' },
    { title: 'SIZE' },
    { title: 'PULLED' },
    { title: 'KEPT BY', least: 10 },
  ];
  return table(
    columns,
    [
      ...rows,
      ...(others.length === 0 ? [] : [['of images that are not present', '', '', '', ''], ...others]),
    ],
    screen.columns,
    (row, _column, text) => (row < 0 ? screen.tone('dim', text) : text),
  );
}

function layerRow({ diffId, keepers }: ImageLayer, image: Image | undefined): readonly string[] {
  const others = keepers.filter((keeper) => keeper !== `image/${image?.id ?? ''}`);
  return ['  layer', shortDigest(diffId), '', '', others.map(shortKeeper).join(', ')];
}

function nameOf({ tags, digests }: Image): string {
  return tags.length > 0 ? tags.join(', ') : (digests[0] ?? '');
}

/** What keeps the image; empty if `troupe gc` would remove it. */
function whyImage({ pinned, keepers }: Image): string {
  return [...(pinned ? ['pinned'] : []), ...keepers.map(shortKeeper)].join(', ');
}

function shortKeeper(address: string): string {
  const [kind = '', id = ''] = address.split('/', 2);
  return kind === 'image' || kind === 'unfinished' ? `${kind}/${shortDigest(id)}` : shortAddress(address);
}

function shortDigest(digest: string): string {
  return shortId(digest.slice(HEX_AT));
}

/**
 * Removes unused and unpinned images one after the other through RemoveImage, which deletes the layers that no other
 * image has. Partial downloads are deleted by the daemon itself, when a pull ends and at its start.
 */
export async function gc(command: Command): Promise<number> {
  const { screen, client, line, json } = command;
  const found = (await client.images({})).images.filter(
    ({ pinned, keepers }) => !pinned && keepers.length === 0,
  );
  const isTrial = line.flags.has('dry-run');
  if (!isTrial && found.length > 0) await removeAll(command, found);
  if (json) writeJson(screen, { dryRun: isTrial, removed: found.map((image) => plainOf(image)) });
  else {
    for (const image of found)
      screen.line(
        `${isTrial ? 'would remove' : 'removed'} ${nameOf(image)} (${shortDigest(image.id)}, ${bytes(Number(image.sizeBytes))})`,
      );
    if (found.length === 0) screen.line('no unused image');
  }
  return EXIT.ok;
}

async function removeAll(command: Command, found: readonly Image[]): Promise<void> {
  const { socket } = await command.client.status({});
  const cri = imageClient(socket);
  for (const { id } of found) {
    // a container may have been created since the list: then the layers stay on the disk for it
    await cri
      .removeImage({ image: { image: id } }, { signal: command.signal })
      .catch((thrown: unknown) => Promise.reject(imageFault(thrown, socket)));
  }
}
