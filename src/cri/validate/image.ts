/** ImageSpec and AuthConfig. Pure. */
import type { RegistryAuth } from '../../ports/images.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { AuthConfig, ImageSpec } from '../../gen/runtime/v1/api_pb.ts';
import { line, quoted, refuse, required, text } from './check.ts';

/**
 * The name in an ImageSpec. `runtime_handler` must be one of `handlers`: images are the same for all handlers, but an
 * unknown one would fail the pod later. `image_ref` and annotations are ignored.
 */
export function imageName(
  field: string,
  image: ImageSpec | undefined,
  handlers: readonly { readonly name: string }[],
): string {
  const name = line(
    `${field}.image`,
    required(`${field}.image`, image?.image ?? ''),
    portLimits.imageNameBytes,
  );
  const handler = image?.runtimeHandler ?? '';
  if (handler !== '' && !handlers.some((known) => known.name === handler)) {
    refuse(`${field}.runtime_handler`, `${quoted(handler)} is not configured`);
  }
  return name;
}

/**
 * The credentials of a pull; undefined for an anonymous pull, where all fields are empty. No message quotes a value.
 */
export function registryAuth(field: string, auth: AuthConfig | undefined): RegistryAuth | undefined {
  if (auth === undefined) return undefined;
  const part = (name: string, value: string): string =>
    text(`${field}.${name}`, value, requestLimits.credentialBytes);
  const parsed: RegistryAuth = {
    username: part('username', auth.username),
    password: part('password', auth.password),
    auth: part('auth', auth.auth),
    identityToken: part('identity_token', auth.identityToken),
    registryToken: part('registry_token', auth.registryToken),
    serverAddress: part('server_address', auth.serverAddress),
  };
  const { serverAddress: _where, ...secrets } = parsed;
  return Object.values(secrets).every((value) => value === '') ? undefined : parsed;
}
