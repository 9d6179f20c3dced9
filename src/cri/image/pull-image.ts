import { FaultError, toFault } from '../../base/fault.ts';
import type { ImageService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import type { ServiceOptions } from '../service-options.ts';
import { withKubeletPrefix } from '../status.ts';
import { translated } from '../validate/check.ts';
import { imageName, registryAuth } from '../validate/image.ts';

/** PullImage: the id of the image, the same text everywhere. Credentials of the request win over configured ones. */
export function pullImage({ troupe }: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof ImageService.method.pullImage> {
  return async ({ image, auth }, context) => {
    const [name, credentials] = translated('PullImage', () => [
      imageName('image', image, troupe.handlers()),
      registryAuth('auth', auth),
    ]);
    try {
      return { imageRef: await troupe.pullImage(name, credentials, context) };
    } catch (thrown) {
      throw thrown instanceof FaultError ? forKubelet(thrown) : thrown;
    }
  };
}

/** The registry client's word; the kubelet looks for it at the very start, where the actors put what was attempted. */
const UNAVAILABLE = 'RegistryUnavailable: ';

function forKubelet(thrown: FaultError): FaultError {
  const why = toFault(thrown);
  if (why.kind !== 'outside' || !why.message.includes(UNAVAILABLE)) return thrown;
  return new FaultError(withKubeletPrefix('RegistryUnavailable', { ...why, message: why.message.replace(UNAVAILABLE, '') }));
}
