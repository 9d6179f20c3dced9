// Pull and removal of an image, for the sweep.
import { injects } from '../../support/faults/injects.ts';
import { presentLayers, wrongLayers } from './small-image.ts';
import { imageName, must, type Operation } from './stage.ts';

export const pullImage: Operation = {
  name: 'PullImage',
  fault: injects('F07', 'SIGKILL before and after each system call of PullImage'),
  standing: 'nothing',
  prepare: async (stage) => {
    const { image: images } = stage.world.client;
    const image = { image: imageName(stage.world) };
    const { root } = stage.world.instance;
    const mustBeWhole = (): void => {
      const wrong = wrongLayers(root);
      must(wrong === '', `an image is listed, but ${wrong}`);
    };
    return await Promise.resolve({
      call: (options) => images.pullImage({ image }, options),
      seen: async () => {
        const { length } = (await images.listImages({})).images;
        if (length > 0) mustBeWhole();
        // whole layers of an interrupted pull are kept for a client that pulls again (F07); `end` does
        return length === 0 && presentLayers(root) === 0;
      },
      end: async () => {
        const { imageRef } = await images.pullImage({ image });
        const { image: found } = await images.imageStatus({ image });
        must(found?.id === imageRef, 'the pulled image is not listed');
        mustBeWhole();
        await images.removeImage({ image });
      },
    });
  },
};

export const removeImage: Operation = {
  name: 'RemoveImage',
  fault: injects('F08', 'SIGKILL before and after each system call of RemoveImage'),
  standing: 'nothing',
  prepare: async (stage) => {
    const { image: images } = stage.world.client;
    const image = { image: imageName(stage.world) };
    await images.pullImage({ image });
    const isGone = async (): Promise<boolean> => (await images.listImages({})).images.length === 0;
    return {
      call: (options) => images.removeImage({ image }, options),
      seen: isGone,
      end: async () => {
        await images.removeImage({ image });
        must(await isGone(), 'the removed image is listed');
      },
    };
  },
};
