/** The image service: requests, and what is shown of an image. */
import { toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { fault, FaultError } from '../../../../src/base/fault.ts';
import { ImageService, ListImagesResponseSchema } from '../../../../src/gen/runtime/v1/api_pb.ts';
import type { ImageRecord } from '../../../../src/ports/specs.ts';
import { imageList } from '../../../../src/cri/present/image.ts';
import { hex, image, imageId, NOW_NS, stage } from '../stage.ts';

const images = ImageService.method;

describe('requests about images', () => {
  const auth = {
    username: 'u',
    password: 'p',
    auth: '',
    serverAddress: 'r',
    identityToken: 'i',
    registryToken: 't',
  };

  test('PullImage passes on credentials unchanged, and answers the id of the image', async () => {
    const { send, asked } = stage();
    expect(await send(images.pullImage, { image: { image: 'busybox' }, auth })).toMatchObject({
      imageRef: imageId('1'),
    });
    await send(images.pullImage, {
      image: { image: 'busybox', runtimeHandler: 'crun' },
      auth: { serverAddress: 'r' },
    });
    await send(images.pullImage, {
      image: { image: 'busybox' },
      sandboxConfig: { metadata: { namespace: 'team' } },
    });
    expect(asked).toEqual([
      ['pullImage', { reference: 'busybox', auth, namespace: '' }],
      ['pullImage', { reference: 'busybox', auth: undefined, namespace: '' }],
      ['pullImage', { reference: 'busybox', auth: undefined, namespace: 'team' }],
    ]);
  });

  test.each([
    ['image.image', {}],
    ['image.image', { image: { image: '' } }],
    ['image.image', { image: { image: 'a\tb' } }],
    ['image.image', { image: { image: 'x'.repeat(1025) } }],
    ['image.runtime_handler', { image: { image: 'busybox', runtimeHandler: 'kata' } }],
    ['auth.password', { image: { image: 'busybox' }, auth: { password: 'secret\0' } }],
    [
      'auth.registry_token',
      { image: { image: 'busybox' }, auth: { registryToken: 'secret'.repeat(50_000) } },
    ],
  ])('PullImage: %s is refused, and no secret is repeated', async (field, request) => {
    const { fails } = stage();
    const status = await fails(images.pullImage, request);
    expect(status.code).toBe('invalidArgument');
    expect(status.message.startsWith(`PullImage: ${field}`), status.message).toBe(true);
    expect(status.message).not.toContain('secret');
  });

  test('an unreachable registry is reported with the kubelet’s word first', async () => {
    const broken = fault('outside', 'PullImage x: RegistryUnavailable: r.example answered 503', {
      retryable: true,
    });
    const { fails } = stage({ pullImage: () => Promise.reject(new FaultError(broken)) });
    expect(await fails(images.pullImage, { image: { image: 'x' } })).toEqual({
      code: 'unknown',
      message: 'RegistryUnavailable: PullImage x: r.example answered 503',
    });
  });

  test('an image with refused signatures is reported with the kubelet’s word first', async () => {
    const refused = fault('denied', 'PullImage x: SignatureValidationFailed: no signature');
    const { fails } = stage({ pullImage: () => Promise.reject(new FaultError(refused)) });
    expect(await fails(images.pullImage, { image: { image: 'x' } })).toEqual({
      code: 'unknown',
      message: 'SignatureValidationFailed: PullImage x: no signature',
    });
  });

  test('any other failure of a pull stays as it is', async () => {
    const denied = new FaultError(fault('denied', 'PullImage x: RegistryUnavailable: not really'));
    const { fails } = stage({ pullImage: () => Promise.reject(denied) });
    expect(await fails(images.pullImage, { image: { image: 'x' } })).toMatchObject({
      code: 'permissionDenied',
    });
    const bug = stage({ pullImage: () => Promise.reject(new TypeError('x is undefined')) });
    expect(await bug.fails(images.pullImage, { image: { image: 'x' } })).toMatchObject({ code: 'internal' });
  });

  test('RemoveImage: an empty name never means "any image"', async () => {
    const { send, fails, asked } = stage();
    expect(await fails(images.removeImage, {})).toEqual({
      code: 'invalidArgument',
      message: 'RemoveImage: image.image: is empty',
    });
    expect(asked).toEqual([]);
    await send(images.removeImage, { image: { image: 'busybox' } });
    expect(asked).toEqual([['removeImage', 'busybox']]);
  });
});

describe('what is shown of an image', () => {
  test.each([
    ['', { uid: { value: 0n }, username: '' }],
    ['1002', { uid: { value: 1002n }, username: '' }],
    ['1003:50', { uid: { value: 1003n }, username: '' }],
    ['www-data', { uid: undefined, username: 'www-data' }],
    ['www-data:100', { uid: undefined, username: 'www-data' }],
  ])('USER %j is a number or a name, never both', async (user, shown) => {
    const { send } = stage({ findImage: () => image('1', {}, user) });
    const { image: answer } = await send(images.imageStatus, { image: { image: 'busybox' } });
    expect({ uid: answer?.uid, username: answer?.username }).toMatchObject(shown);
  });

  test('ImageStatus: sizes above 2^32, names, pinned; info only when verbose and without variables', async () => {
    const { send } = stage();
    const plain = await send(images.imageStatus, { image: { image: 'busybox' } });
    expect(plain.info).toEqual({});
    expect(plain.image).toMatchObject({
      id: imageId('1'),
      repoTags: ['docker.io/library/busybox:latest'],
      repoDigests: [`docker.io/library/busybox@sha256:${hex('9')}`],
      size: 5_000_000_000n,
      pinned: false,
    });
    const { info } = await send(images.imageStatus, { image: { image: 'busybox' }, verbose: true });
    expect(JSON.parse(info['info'] ?? '')).toMatchObject({
      labels: { maintainer: 'us' },
      imageSpec: { config: { Volumes: { '/data': {} } } },
    });
    expect(info['info']).not.toContain('hidden');
  });

  test('ImageStatus: a missing image is an empty answer; an empty name is refused', async () => {
    const { send, fails } = stage();
    expect(
      (await send(images.imageStatus, { image: { image: 'missing' }, verbose: true })).image,
    ).toBeUndefined();
    expect((await send(images.imageStatus, { image: { image: 'several' } })).image).toBeUndefined();
    expect(await fails(images.imageStatus, {})).toMatchObject({
      message: 'ImageStatus: image.image: is empty',
    });
  });

  test('ListImages: all, the one of the filter, or none', async () => {
    const { send } = stage();
    const list = async (name?: string): Promise<readonly string[]> => {
      const answer = await send(
        images.listImages,
        name === undefined ? {} : { filter: { image: { image: name } } },
      );
      return answer.images.map(({ id }) => id);
    };
    expect(await list()).toEqual([imageId('1'), imageId('2')]);
    expect(await list('')).toEqual([imageId('1'), imageId('2')]);
    expect(await list('busybox')).toEqual([imageId('1')]);
    expect(await list('missing')).toEqual([]);
  });

  test('ListImages is byte for byte what protobuf encodes', async () => {
    const records = [image('1'), image('2', {}, 'www-data')];
    const isSecond = ({ id }: ImageRecord): boolean => id === imageId('2');
    const { send } = stage({ images: () => records });
    const answer = await send(images.listImages, {});
    const list = imageList(() => isSecond);
    expect(list().answer(records)).toEqual(toBinary(ListImagesResponseSchema, answer));
    const isFirst = (one: ImageRecord): boolean => !isSecond(one);
    let pinning = isSecond;
    const changing = imageList(() => pinning);
    expect(changing().answer(records)).toEqual(list().answer(records));
    pinning = isFirst;
    expect(changing().answer(records)).toEqual(imageList(() => isFirst)().answer(records));
    expect(changing().answer(records)).not.toEqual(list().answer(records));
    expect(answer.images[1]?.username).toBe('www-data');
    expect(answer.images.map(({ pinned }) => pinned)).toEqual([false, true]);
    const one = await send(images.imageStatus, { image: { image: 'busybox' } });
    expect(answer.images[0]).toEqual(one.image);
  });

  test('ImageFsInfo: both lists, values above 2^53, a time above 0', async () => {
    const { send } = stage();
    expect(await send(images.imageFsInfo, {})).toMatchObject({
      imageFilesystems: [
        {
          timestamp: NOW_NS,
          fsId: { mountpoint: '/images' },
          usedBytes: { value: 2n ** 60n },
          inodesUsed: { value: 7n },
        },
      ],
      containerFilesystems: [
        {
          timestamp: NOW_NS,
          fsId: { mountpoint: '/containers' },
          usedBytes: { value: 0n },
          inodesUsed: { value: 0n },
        },
      ],
    });
  });
});
