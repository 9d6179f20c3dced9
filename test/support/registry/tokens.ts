/** Authentication as registries ask for it, scripted onto a FakeRegistry. */
import type { FakeRegistry, Handler } from './fake-registry.ts';
import { refuse } from './fake-registry.ts';

/** Everything below /v2/ wants exactly this Authorization header; else 401 with the challenge. */
export function guard(
  registry: FakeRegistry,
  challenge: string,
  accepts: (authorization: string) => boolean,
): void {
  registry.on(/^\/v2\//u, (request, response, serve) => {
    if (accepts(request.headers.authorization ?? '')) serve();
    else
      refuse(401, 'UNAUTHORIZED', 'authentication required', { 'www-authenticate': challenge })(
        request,
        response,
        serve,
      );
  });
}

/** A token service at `/token`: gives out `token-1`, `token-2`, … */
export function tokenService(registry: FakeRegistry, options: { times?: number } = {}): { given(): number } {
  let given = 0;
  const handler: Handler = (_request, response) => {
    given += 1;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ token: `token-${given}`, expires_in: 60 }));
  };
  registry.on(/^\/token/u, handler, options.times);
  return { given: () => given };
}
