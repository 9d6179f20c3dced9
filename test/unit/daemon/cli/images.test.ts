import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  ImagesResponseSchema,
  PullLayerSchema,
} from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import { imageLines } from '../../../../src/daemon/cli/images.ts';
import { bar } from '../../../../src/daemon/cli/pull.ts';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';

const silent = { write: () => true };
const screen = makeScreen(silent, silent, { noColor: true, columns: 120 }, 'mark');
const id = (digit: string): string => `sha256:${digit.repeat(64)}`;

describe('troupe images', () => {
  const answer = create(ImagesResponseSchema, {
    images: [
      {
        id: id('1'),
        tags: ['quay.io/a/b:1'],
        sizeBytes: 2048n,
        pulledNs: 0n,
        pinned: true,
        keepers: [`container/${'c'.repeat(64)}`],
        layers: [{ diffId: id('5'), keepers: [`image/${id('1')}`, `image/${id('2')}`] }],
      },
      { id: id('2'), digests: [`quay.io/a/b@${id('9')}`], sizeBytes: 1n, layers: [] },
    ],
    otherLayers: [
      { diffId: id('6'), keepers: [`container/${'d'.repeat(64)}`] },
      { diffId: id('7'), keepers: [`unfinished/${id('8')}`] },
    ],
  });

  it('lists each image with its users, and on demand its layers with their other users', () => {
    const lines = imageLines(answer, 60_000_000_000n, screen, true).map((line) =>
      line.replaceAll(/ +/gu, ' '),
    );
    expect(lines).toEqual([
      'IMAGE ID SIZE PULLED KEPT BY',
      'quay.io/a/b:1 1111111111111 2.0 KiB 60s pinned, container/ccccccccccccc',
      ' layer 5555555555555 image/2222222222222',
      expect.stringMatching(/^quay\.io\/a\/b@sha256:9+…? 2222222222222 1 B 60s$/u),
      'of images that are not present',
      ' layer 6666666666666 container/ddddddddddddd',
      ' layer 7777777777777 unfinished/8888888888888',
    ]);
  });

  it('says that no image is stored', () => {
    expect(imageLines(create(ImagesResponseSchema), 0n, screen, false)).toEqual(['no images']);
  });
});

describe('a bar of troupe pull', () => {
  const layer = (downloadedBytes: bigint, present = false) =>
    create(PullLayerSchema, { digest: id('a'), sizeBytes: 1000n, downloadedBytes, present });
  it.each([
    [layer(0n), '0 B of 1000 B', 0],
    [layer(500n), '500 B of 1000 B', 0.5],
    [layer(1000n), '1000 B of 1000 B', 1],
    // a registry that sends more than it said is refused elsewhere; the bar stays in its line
    [layer(4000n), '3.9 KiB of 1000 B', 1],
    [layer(0n, true), '1000 B done', 1],
    [
      create(PullLayerSchema, {
        digest: id('a'),
        sizeBytes: 4096n,
        downloadedBytes: 1024n,
        bytesPerSecond: 512n,
        remainingMs: 6000n,
      }),
      '1.0 KiB of 4.0 KiB, 512 B/s, 6.0s left',
      0.25,
    ],
  ])('fills the line in proportion', (one, tail, share) => {
    const line = bar(one, 80);
    expect(line.length).toBe(80);
    expect(line.startsWith(`${'a'.repeat(13)} [`) && line.endsWith(`] ${tail}`)).toBe(true);
    const [inside = ''] = /\[.*\]/u.exec(line) ?? [];
    expect([...inside].filter((letter) => letter === '=').length).toBe(
      Math.floor((inside.length - 2) * share),
    );
  });

  it('is left out where there is no room', () => {
    expect(bar(layer(500n), 20)).toBe(`${'a'.repeat(13)} 500 B of 1000 B`);
  });
});

describe('redrawing', () => {
  it('moves the cursor up over the previous lines, on a terminal only', () => {
    const written: string[] = [];
    const terminal = { isTTY: true, columns: 80, write: (text: string) => written.push(text) };
    const { redraw } = makeScreen(silent, terminal, { noColor: true, columns: 80 }, 'mark');
    redraw?.(['one', 'two']);
    redraw?.(['three', 'four']);
    expect(written).toEqual(['\rone\u001b[K\n\rtwo\u001b[K\n', '\u001b[2A\rthree\u001b[K\n\rfour\u001b[K\n']);
    expect(screen.redraw).toBeUndefined();
  });
});
