/** The page on loopback by `introspection.http_address`. */
import { packedPage } from '../../host/program/program-files.ts';
import { startWeb } from '../../introspection/web-server.ts';
import type { WebServer } from '../../introspection/web-server.ts';
import type { IntrospectionOptions } from '../../introspection/service.ts';
import { accessToken } from '../../introspection/web-token.ts';
import type { Config } from '../config/config-schema.ts';
import { ListenerPart } from './listener-part.ts';
import { tokenFile } from './metrics.ts';
import type { MetricsParts } from './metrics.ts';

/**
 * @param introspection what the page shows; asked when it listens
 * @param configView has the configuration in effect
 */
export function pageListener(
  config: Config,
  { ports, observability }: MetricsParts,
  introspection: () => IntrospectionOptions,
  configView: () => Config,
): ListenerPart<WebServer> {
  const { clock, random, log } = ports;
  return new ListenerPart<WebServer>(
    config,
    { clock, conditions: observability.conditions },
    {
      name: 'introspection page',
      keyOf: (of) => of.introspection.http_address,
      listen: async (of) => {
        const { http_address: address } = of.introspection;
        if (address === '') return undefined;
        const file = tokenFile(of);
        const web = await startWeb({
          address,
          token: await accessToken(file, random, process.getuid?.() ?? 0),
          page: packedPage(),
          introspection: introspection(),
          metrics: () => observability.metrics.text(),
          metricsAreOpen: () => configView().introspection.metrics === 'open',
        });
        // the path of the token, not the token
        log.info({ page: web.origin, tokenFile: file }, 'serving the introspection page');
        return web;
      },
    },
  );
}
